"""ControlNets of Qwen-Image against diffusers' pipelines on the same tiny weights."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor

from marquetry.engine.models.control.control_net import AppliedControl
from marquetry.engine.models.library import ModelLibrary
from tests.engine.models.control.tiny import HEIGHT, WIDTH, calmed, noise, picture, planes, with_control, written
from tests.engine.models.families.test_flux import flux_tokens
from tests.engine.models.families.test_qwen_image import parts, pipeline
from tests.engine.models.families.tiny import library_at, ours, seeded, stirred

PROMPT = "a red cat on the beach"
LEVELS = (1.0, 0.75, 0.5, 0.25, 0.0)


@functools.cache
def net(extra: int = 0) -> Any:
    import diffusers

    classes: Any = diffusers
    with seeded(12):
        return calmed(
            stirred(
                classes.QwenImageControlNetModel(
                    in_channels=64, out_channels=16, num_layers=1, attention_head_dim=32, num_attention_heads=2, joint_attention_dim=128,
                    axes_dims_rope=(4, 14, 14), extra_condition_channels=extra,
                )
            )
        )  # fmt: skip


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    library = library_at(tmp_path_factory.mktemp("data"))
    pipeline().save_pretrained(library.folders.models / "diffusers/whole")
    return library


def run(library: ModelLibrary, control: AppliedControl | None, **extras: Any) -> Tensor:
    model, clip, _ = library.load_checkpoint("whole", "diffusers")
    assert clip is not None
    words = clip.encode(PROMPT).conditioning(**extras)
    return flux_tokens(ours(model, words if control is None else with_control(words, control), None, noise(16), LEVELS, 1.0))


def by_diffusers(kind: str, network: Any, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Tensor:
    import diffusers
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    pipe: Any = getattr(diffusers, kind)(**parts(), controlnet=network)
    pipe.set_progress_bar_config(disable=True)
    with torch.no_grad():
        found: Tensor = pipe(
            PROMPT, height=HEIGHT, width=WIDTH, num_inference_steps=4, latents=flux_tokens(noise(16)), output_type="latent",
            controlnet_conditioning_scale=0.7, true_cfg_scale=1.0, **options,
        ).images  # fmt: skip
    return found


def vae(library: ModelLibrary) -> Any:
    return library.load_checkpoint("whole", "diffusers").vae


def test_four_steps_of_euler_equal_diffusers(library: ModelLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = by_diffusers("QwenImageControlNetPipeline", net(), monkeypatch, control_image=planes(picture()) * 2 - 1)
    loaded = written(library, "plain", net())
    assert loaded.found.kind == "qwen_image" and not loaded.takes_mask
    made = run(library, AppliedControl(loaded, picture(), 0.7, vae=vae(library)))
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)


def test_inpainting_equals_diffusers(library: ModelLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = torch.zeros(1, 1, HEIGHT, WIDTH)
    mask[..., 16:48, 24:80] = 1.0
    expected = by_diffusers(
        "QwenImageControlNetInpaintPipeline", net(4), monkeypatch, control_image=planes(picture()) * 2 - 1, control_mask=mask
    )
    loaded = written(library, "inpaint", net(4))
    assert loaded.takes_mask
    keep = 1.0 - mask[:, 0]
    made = run(library, AppliedControl(loaded, picture() * keep[..., None], 0.7, vae=vae(library), keep=keep))
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)


def test_it_works_beside_reference_pictures(library: ModelLibrary) -> None:
    control = AppliedControl(written(library, "plain", net()), picture(), vae=vae(library))
    reference = torch.randn(1, 16, 4, 4, generator=torch.Generator().manual_seed(9))
    beside = [run(library, each, reference_latents=[reference]) for each in (control, None)]
    assert (beside[0] - beside[1]).abs().max() > 1e-4
