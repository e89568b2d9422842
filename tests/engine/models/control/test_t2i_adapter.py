"""T2I-Adapters against diffusers' pipelines on the same tiny weights, in diffusers' layout and in the published one."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor

from marquetry.engine.models.control.control_net import AppliedControl
from marquetry.engine.models.library import ModelLibrary
from tests import checkpoints
from tests.engine.models.control import test_sdxl, test_stable_diffusion
from tests.engine.models.control.tiny import HEIGHT, WIDTH, noise, picture, planes, written
from tests.engine.models.families.test_sdxl import PROMPT, original, pipeline
from tests.engine.models.families.tiny import NEGATIVE, library_at, seeded, stirred

CHANNELS = {"full_adapter": (32, 64), "light_adapter": (32, 64), "full_adapter_xl": (32, 64)}


@functools.cache
def adapter(kind: str, channels: int = 3) -> Any:
    from diffusers import T2IAdapter

    made: Any = T2IAdapter
    with seeded(11):
        blocks = 4 if kind == "light_adapter" else 2
        network = made(channels, list(CHANNELS[kind]), blocks, 16 if kind.endswith("xl") else 8, kind)
        with torch.no_grad():
            for parameter in stirred(network).parameters():
                parameter.mul_(0.5)
    return network


def published(kind: str, channels: int = 3) -> dict[str, Tensor]:
    """The tensors by the names of the T2I-Adapter repository, written out here for two levels of two blocks, or two of four."""
    state = adapter(kind, channels).state_dict()
    out = {}
    for name, tensor in state.items():
        place = name.removeprefix("adapter.").split(".")
        if place[0] == "body" and kind == "light_adapter":
            place = [part if part != "resnets" else "body" for part in place]
        elif place[0] == "body" and place[2] == "resnets":
            place = ["body", str(int(place[1]) * 2 + int(place[3])), *place[4:]]
        elif place[0] == "body":
            place = ["body", str(int(place[1]) * 2), *place[2:]]
        out[".".join(place)] = tensor
    return out


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    library = library_at(tmp_path_factory.mktemp("data"))
    checkpoints.write_checkpoint(library.folders.models / "checkpoints/sd1.safetensors")
    return library


@pytest.mark.parametrize(("kind", "channels"), [("full_adapter", 3), ("full_adapter", 1), ("light_adapter", 3)])
def test_four_steps_of_euler_equal_diffusers_in_both_layouts(library: ModelLibrary, kind: str, channels: int) -> None:
    import diffusers

    classes: Any = diffusers
    made, clip = checkpoints.networks("sd1"), library.load_checkpoint("sd1.safetensors").clip
    assert clip is not None
    prompts = clip.encode_conditioning("a red cat"), clip.encode_conditioning("blurry")
    scheduler = test_stable_diffusion.scheduler()
    pipe = classes.StableDiffusionAdapterPipeline(
        vae=made.vae, text_encoder=None, tokenizer=None, unet=made.unet, adapter=adapter(kind, channels), scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    highest, hint = float(scheduler.sigmas[0]), planes(picture())
    with torch.no_grad():
        expected = pipe(
            prompt_embeds=prompts[0][0][0], negative_prompt_embeds=prompts[1][0][0], height=HEIGHT, width=WIDTH, num_inference_steps=4,
            image=hint if channels == 3 else hint.mean(dim=1, keepdim=True), guidance_scale=2.0, adapter_conditioning_scale=0.6,
            latents=noise() * (1 + highest**2) ** 0.5 / highest, output_type="latent",
        ).images  # fmt: skip
    for name, state in ((f"d-{kind}{channels}", adapter(kind, channels).state_dict()), (f"o-{kind}{channels}", published(kind, channels))):
        loaded = written(library, name, state)
        assert loaded.found.kind == "t2i_adapter" and loaded.found.families == ("sd1", "sd2")
        result = test_stable_diffusion.run(library, prompts, AppliedControl(loaded, picture(), 0.6))
        torch.testing.assert_close(result, expected, atol=1e-4, rtol=1e-4)


def test_an_adapter_and_a_control_net_work_together(library: ModelLibrary) -> None:
    clip = library.load_checkpoint("sd1.safetensors").clip
    assert clip is not None
    prompts = clip.encode_conditioning("a red cat"), clip.encode_conditioning("blurry")
    first = AppliedControl(written(library, "t2i", adapter("full_adapter")), picture(1))
    net = written(library, "net", test_stable_diffusion.net(0))
    both = test_stable_diffusion.run(library, prompts, AppliedControl(net, picture(2), previous=first))
    alone = [test_stable_diffusion.run(library, prompts, each) for each in (first, AppliedControl(net, picture(2)))]
    assert all((both - each).abs().max() > 1e-3 for each in alone)


def test_four_steps_of_euler_with_xl_equal_diffusers(tmp_path_factory: pytest.TempPathFactory) -> None:
    from safetensors.torch import save_file

    library = library_at(tmp_path_factory.mktemp("data"))
    save_file(original(pipeline()), library.folders.models / "checkpoints/tiny.safetensors")
    base: Any = pipeline()
    import diffusers

    parts = {name: part for name, part in base.components.items() if name not in ("image_encoder", "feature_extractor")}
    classes: Any = diffusers
    pipe = classes.StableDiffusionXLAdapterPipeline(**parts, adapter=adapter("full_adapter_xl"))
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler.set_timesteps(4)
    highest = float(pipe.scheduler.sigmas[0])
    with torch.no_grad():
        expected = pipe(
            PROMPT, negative_prompt=NEGATIVE, height=HEIGHT, width=WIDTH, num_inference_steps=4, guidance_scale=2.0,
            image=planes(picture()), latents=noise() * (1 + highest**2) ** 0.5 / highest, output_type="latent",
        ).images  # fmt: skip
    for name, state in (("d", adapter("full_adapter_xl").state_dict()), ("o", published("full_adapter_xl"))):
        loaded = written(library, name, state)
        assert loaded.found.families == ("sdxl",)
        torch.testing.assert_close(test_sdxl.run(library, AppliedControl(loaded, picture())), expected, atol=1e-4, rtol=1e-4)
