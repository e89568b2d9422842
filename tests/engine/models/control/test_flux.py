"""ControlNets of Flux.1 against diffusers' pipeline on the same tiny weights: InstantX's, unions, and XLabs'."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor

from marquetry.engine.models.control.control_net import AppliedControl
from marquetry.engine.models.library import ModelLibrary
from tests.engine.models.control.tiny import HEIGHT, WIDTH, calmed, noise, picture, planes, with_control, written
from tests.engine.models.families import test_flux
from tests.engine.models.families.test_flux import HEAD, PROMPT, flux_tokens, pipeline
from tests.engine.models.families.test_flux import WIDTH as TRUNK
from tests.engine.models.families.tiny import library_at, ours, seeded, stirred

LEVELS = (1.0, 0.75, 0.5, 0.25, 0.0)
SIZES: dict[str, Any] = {
    "num_layers": 1, "attention_head_dim": HEAD, "num_attention_heads": TRUNK // HEAD, "joint_attention_dim": 64, "pooled_projection_dim": 64,
    "axes_dims_rope": (4, 14, 14),
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "instantx": {"num_single_layers": 1, "guidance_embeds": True},
    "union": {"num_single_layers": 0, "guidance_embeds": True, "num_mode": 7},
    "xlabs": {"num_single_layers": 0, "guidance_embeds": True, "conditioning_embedding_channels": 16, "patch_size": 2},
}


@functools.cache
def net(kind: str) -> Any:
    from diffusers import FluxControlNetModel

    made: Any = FluxControlNetModel
    with seeded(6):
        return calmed(stirred(made(**SIZES, **KINDS[kind])))


def published_by_xlabs() -> dict[str, Tensor]:
    """XLabs' file: Flux's original names, and their own for what reads the picture."""
    network = net("xlabs")
    state = network.state_dict()
    stand_in = {**state, "norm_out.linear.weight": torch.zeros(2, 2), "norm_out.linear.bias": torch.zeros(2)}

    class Named:
        config = network.config

        def state_dict(self) -> dict[str, Tensor]:
            return stand_in

    out = {name: tensor for name, tensor in test_flux.published(Named()).items() if not name.startswith("final_layer")}
    reader = ["conv_in", *(f"blocks.{number}" for number in range(6)), "conv_out"]
    for suffix in ("weight", "bias"):
        for number, name in enumerate(reader):
            out[f"input_hint_block.{2 * number}.{suffix}"] = state[f"input_hint_block.{name}.{suffix}"]
        out[f"pos_embed_input.{suffix}"] = state[f"controlnet_x_embedder.{suffix}"]
        out[f"controlnet_blocks.0.{suffix}"] = state[f"controlnet_blocks.0.{suffix}"]
    return out


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    library = library_at(tmp_path_factory.mktemp("data"))
    pipeline().save_pretrained(library.folders.models / "diffusers/dev")
    return library


def run(library: ModelLibrary, control: AppliedControl | None, **extras: Any) -> Tensor:
    model, clip, _ = library.load_checkpoint("dev", "diffusers")
    assert clip is not None
    words = clip.encode(PROMPT).conditioning(guidance=2.5, **extras)
    words = words if control is None else with_control(words, control)
    return ours(model, words, None, noise(16), LEVELS, 1.0)


def by_diffusers(network: Any, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Tensor:
    import diffusers
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    own = {name: part for name, part in pipeline().components.items() if name not in ("image_encoder", "feature_extractor")}
    classes: Any = diffusers
    pipe = classes.FluxControlNetPipeline(**own, controlnet=network)
    pipe.set_progress_bar_config(disable=True)
    with torch.no_grad():
        found: Tensor = pipe(
            PROMPT, height=HEIGHT, width=WIDTH, num_inference_steps=4, guidance_scale=2.5, latents=flux_tokens(noise(16)),
            output_type="latent", max_sequence_length=256, control_image=planes(picture()) * 2 - 1, controlnet_conditioning_scale=0.7,
            **options,
        ).images  # fmt: skip
    return found


def vae(library: ModelLibrary) -> Any:
    return library.load_checkpoint("dev", "diffusers").vae


def test_four_steps_of_euler_equal_diffusers(library: ModelLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = written(library, "instantx", net("instantx"))
    expected = by_diffusers(net("instantx"), monkeypatch)
    made = run(library, AppliedControl(loaded, picture(), 0.7, vae=vae(library)))
    torch.testing.assert_close(flux_tokens(made), expected, atol=1e-4, rtol=1e-4)
    assert (made - run(library, None)).abs().max() > 1e-3


def test_a_union_that_is_told_what_it_sees_equals_diffusers(library: ModelLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = written(library, "union", net("union"))
    assert loaded.found.facts["types"] == 7
    expected = by_diffusers(net("union"), monkeypatch, control_mode=2)
    control = AppliedControl(loaded.with_type("depth"), picture(), 0.7, vae=vae(library))
    torch.testing.assert_close(flux_tokens(run(library, control)), expected, atol=1e-4, rtol=1e-4)
    untold = run(library, AppliedControl(loaded, picture(), 0.7, vae=vae(library)))
    assert torch.isfinite(untold).all() and (untold - run(library, control)).abs().max() > 1e-4


@pytest.mark.parametrize("layout", ["original", "diffusers"])
def test_those_of_xlabs_equal_diffusers(library: ModelLibrary, monkeypatch: pytest.MonkeyPatch, layout: str) -> None:
    loaded = written(library, f"xlabs-{layout}", published_by_xlabs() if layout == "original" else net("xlabs"))
    assert loaded.found.layout == layout
    expected = by_diffusers(net("xlabs"), monkeypatch)
    made = run(library, AppliedControl(loaded, picture(), 0.7))
    torch.testing.assert_close(flux_tokens(made), expected, atol=1e-4, rtol=1e-4)


def test_one_for_inpainting_reads_what_to_keep_behind_the_latent(library: ModelLibrary) -> None:
    plain, state = net("instantx"), dict(net("instantx").state_dict())
    told = torch.randn(TRUNK, 4, generator=torch.Generator().manual_seed(2)) * 0.1
    state["controlnet_x_embedder.weight"] = torch.cat([state["controlnet_x_embedder.weight"], told], dim=1)
    wide, narrow = written(library, "inpaint", state), written(library, "narrow", plain)
    assert wide.takes_mask and not narrow.takes_mask
    nothing, everything = (
        run(library, AppliedControl(wide, picture(), vae=vae(library), keep=torch.full((1, 64, 128), value))) for value in (0.0, 1.0)
    )
    torch.testing.assert_close(nothing, run(library, AppliedControl(narrow, picture(), vae=vae(library))), atol=1e-5, rtol=1e-5)
    assert (everything - nothing).abs().max() > 1e-3


def test_it_works_beside_reference_pictures(library: ModelLibrary) -> None:
    control = AppliedControl(written(library, "instantx", net("instantx")), picture(), 0.7, vae=vae(library))
    reference = torch.randn(1, 16, 4, 4, generator=torch.Generator().manual_seed(9))
    beside = [run(library, each, reference_latents=[reference]) for each in (control, None)]
    assert (beside[0] - beside[1]).abs().max() > 1e-3 and (beside[0] - run(library, control)).abs().max() > 1e-3
