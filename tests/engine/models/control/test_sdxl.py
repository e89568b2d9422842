"""ControlNets of SDXL, plain and unions, against diffusers' pipelines on the same tiny weights."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import pytest
import torch
from torch import Tensor

from marquetry.engine.errors import NodeFailed
from marquetry.engine.models.control.control_net import AppliedControl
from marquetry.engine.models.layout.unet import UNetSizes
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.training.controlnet_file import original_names
from tests.engine.models.control.tiny import HEIGHT, SHALLOW, WIDTH, calmed, net_of, noise, picture, planes, with_control, written
from tests.engine.models.families.test_sdxl import PROMPT, original, pipeline
from tests.engine.models.families.tiny import NEGATIVE, library_at, ours, seeded, stirred

STEPS, GUIDANCE = 4, 2.0
CANNY = "canny/lineart/anime_lineart/mlsd"


@functools.cache
def net() -> Any:
    return net_of(pipeline().unet, 3)


@functools.cache
def union() -> Any:
    from diffusers import ControlNetUnionModel

    kind: Any = ControlNetUnionModel
    accepted = inspect.signature(kind.__init__).parameters
    config = {key: value for key, value in net().config.items() if key in accepted and key != "conditioning_embedding_out_channels"}
    with seeded(4):
        made = kind(
            **config, conditioning_embedding_out_channels=SHALLOW, num_control_type=6, num_trans_channel=32, num_trans_head=1,
            num_proj_channel=32,
        )  # fmt: skip
        return calmed(stirred(made))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    from safetensors.torch import save_file

    library = library_at(tmp_path_factory.mktemp("data"))
    save_file(original(pipeline()), library.folders.models / "checkpoints/tiny.safetensors")
    return library


def run(library: ModelLibrary, control: AppliedControl) -> Tensor:
    model, clip, _ = library.load_checkpoint("tiny.safetensors")
    assert clip is not None
    positive, negative = (with_control(clip.encode_conditioning(words), control) for words in (PROMPT, NEGATIVE))
    pipe = pipeline()
    pipe.scheduler.set_timesteps(STEPS)
    return ours(model, positive, negative, noise(), pipe.scheduler.sigmas.tolist(), GUIDANCE)


def by_diffusers(kind: str, network: Any, **options: Any) -> Tensor:
    import diffusers

    base, classes = pipeline(), diffusers
    parts = {name: part for name, part in base.components.items() if name not in ("image_encoder", "feature_extractor")}
    pipe: Any = getattr(classes, kind)(**parts, controlnet=network)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler.set_timesteps(STEPS)
    highest = float(pipe.scheduler.sigmas[0])
    with torch.no_grad():
        found: Tensor = pipe(
            PROMPT, negative_prompt=NEGATIVE, height=HEIGHT, width=WIDTH, num_inference_steps=STEPS, guidance_scale=GUIDANCE,
            latents=noise() * (1 + highest**2) ** 0.5 / highest, output_type="latent", **options,
        ).images  # fmt: skip
    return found


def test_four_steps_of_euler_equal_diffusers_in_both_layouts(library: ModelLibrary) -> None:
    expected = by_diffusers("StableDiffusionXLControlNetPipeline", net(), image=planes(picture()), controlnet_conditioning_scale=0.7)
    sizes = UNetSizes(4, 4, (32, 64), 1, (0, 2), 192, True, 2, 128 + 6 * 256)
    for name, state in (("diffusers", net().state_dict()), ("original", original_names(net().state_dict(), sizes))):
        loaded = written(library, name, state)
        assert (loaded.found.layout, loaded.found.families) == (name, ("sdxl",))
        torch.testing.assert_close(run(library, AppliedControl(loaded, picture(), 0.7)), expected, atol=1e-4, rtol=1e-4)


def test_a_union_that_is_told_what_it_sees_equals_diffusers(library: ModelLibrary) -> None:
    loaded = written(library, "union", union())
    assert loaded.found.kind == "union" and loaded.found.facts["types"] == 6
    expected = by_diffusers(
        "StableDiffusionXLControlNetUnionPipeline", union(), control_image=[planes(picture())], control_mode=[3],
        controlnet_conditioning_scale=0.7,
    )  # fmt: skip
    made = run(library, AppliedControl(loaded.with_type(CANNY), picture(), 0.7))
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)
    assert (made - run(library, AppliedControl(loaded.with_type("depth"), picture(), 0.7))).abs().max() > 1e-3


def test_a_union_that_is_told_nothing_adds_its_picture_as_a_plain_net_does(library: ModelLibrary) -> None:
    loaded = written(library, "union", union())
    silent = {name: torch.zeros_like(tensor) if "spatial_ch_projs" in name else tensor for name, tensor in union().state_dict().items()}
    x = noise()
    told: Any = {"text_embeds": torch.zeros(1, 128), "time_ids": torch.zeros(1, 6)}
    hint, context = planes(picture()), torch.zeros(1, 7, 192)
    from diffusers import ControlNetUnionModel

    with torch.no_grad():
        kind: Any = ControlNetUnionModel
        plain = kind(**{key: value for key, value in union().config.items() if not key.startswith("_")})
        plain.load_state_dict(silent)
        expected = plain.eval()(
            x, torch.tensor([5.0]), context, [hint], torch.zeros(1, 6), [0], added_cond_kwargs=told, return_dict=False
        )[1]  # fmt: skip
        model = library.load_checkpoint("tiny.safetensors").model
        values = {"context": context, "pooled": told["text_embeds"], "sizes": told["time_ids"]}
        made = AppliedControl(loaded, picture()).prepared(model, x).residuals(None, x, torch.tensor([5.0]), torch.tensor([1.0]), values)
    torch.testing.assert_close(made["mid_block_additional_residual"], expected, atol=1e-6, rtol=1e-5)


def test_a_type_that_a_union_does_not_know_is_refused(library: ModelLibrary) -> None:
    loaded = written(library, "union", union())
    with pytest.raises(NodeFailed, match="knows no type 'tile'; it knows 'openpose'"):
        loaded.with_type("tile")
