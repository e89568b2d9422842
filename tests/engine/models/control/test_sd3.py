"""ControlNets of Stable Diffusion 3 against diffusers' pipeline on the same tiny weights: InstantX's kind, and Stability's of 3.5 large."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor

from marquetry.engine.errors import NodeFailed
from marquetry.engine.models.control.control_net import AppliedControl
from marquetry.engine.models.library import ModelLibrary
from tests.engine.models.control.tiny import HEIGHT, WIDTH, calmed, noise, picture, planes, with_control, written
from tests.engine.models.families.test_sd3 import PROMPT, pipeline
from tests.engine.models.families.tiny import NEGATIVE, library_at, ours, seeded, stirred

GUIDANCE = 2.0


@functools.cache
def net(extra: int = 0, seed: int = 1) -> Any:
    """As InstantX's, with two blocks for the three of the denoiser; `extra` channels tell what to keep."""
    from diffusers import SD3ControlNetModel

    kind: Any = SD3ControlNetModel
    with seeded(seed):
        return calmed(
            stirred(
                kind(
                    sample_size=16, num_layers=2, attention_head_dim=64, num_attention_heads=2, joint_attention_dim=256, caption_projection_dim=128,
                    pooled_projection_dim=192, pos_embed_max_size=24, extra_conditioning_channels=extra,
                )
            )
        )  # fmt: skip


@functools.cache
def large() -> Any:
    """As Stability's: no prompt, places from the denoiser."""
    from diffusers import SD3ControlNetModel

    kind: Any = SD3ControlNetModel
    with seeded(2):
        return calmed(
            stirred(
                kind(
                    sample_size=16, num_layers=2, attention_head_dim=64, num_attention_heads=2, joint_attention_dim=None, caption_projection_dim=128,
                    pooled_projection_dim=192, pos_embed_max_size=None, pos_embed_type=None, use_pos_embed=False,
                    force_zeros_for_pooled_projection=False,
                )
            )
        )  # fmt: skip


def published(sort: int | None = None) -> dict[str, Tensor]:
    """Stability's tensors by the names in which they are published."""
    moved = {"attn.to_out.0": "attn.proj", "ff.net.0.proj": "mlp.fc1", "ff.net.2": "mlp.fc2", "norm1.linear": "adaLN_modulation.1"}
    state, out = large().state_dict(), {}
    for name, tensor in state.items():
        for ours_called, theirs in moved.items():
            name = name.replace(f".{ours_called}.", f".{theirs}.") if name.startswith("transformer_blocks") else name
        if ".to_" not in name:
            out[name] = tensor
    for layer in range(2):
        for suffix in ("weight", "bias"):
            parts = [state[f"transformer_blocks.{layer}.attn.to_{name}.{suffix}"] for name in "qkv"]
            out[f"transformer_blocks.{layer}.attn.qkv.{suffix}"] = torch.cat(parts)
    return out | ({} if sort is None else {"control_type": torch.tensor([float(sort)])})


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    library = library_at(tmp_path_factory.mktemp("data"))
    pipeline().save_pretrained(library.folders.models / "diffusers/tiny")
    return library


def run(library: ModelLibrary, control: AppliedControl) -> Tensor:
    model, clip, _ = library.load_checkpoint("tiny", "diffusers")
    assert clip is not None
    positive, negative = (with_control(clip.encode_conditioning(words), control) for words in (PROMPT, NEGATIVE))
    pipeline().scheduler.set_timesteps(4)
    return ours(model, positive, negative, noise(16), pipeline().scheduler.sigmas.tolist(), GUIDANCE)


def by_diffusers(network: Any, image: Tensor, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Tensor:
    import diffusers
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    classes: Any = diffusers
    pipe = classes.StableDiffusion3ControlNetPipeline(
        **{name: part for name, part in pipeline().components.items() if name not in ("image_encoder", "feature_extractor")},
        controlnet=network,
    )
    pipe.set_progress_bar_config(disable=True)
    with torch.no_grad():
        found: Tensor = pipe(
            PROMPT, negative_prompt=NEGATIVE, height=HEIGHT, width=WIDTH, num_inference_steps=4, guidance_scale=GUIDANCE,
            latents=noise(16), output_type="latent", max_sequence_length=77, control_image=image, **options,
        ).images  # fmt: skip
    return found


def vae(library: ModelLibrary) -> Any:
    return library.load_checkpoint("tiny", "diffusers").vae


def test_four_steps_of_euler_equal_diffusers(library: ModelLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = by_diffusers(net(), planes(picture()) * 2 - 1, monkeypatch, controlnet_conditioning_scale=0.7)
    loaded = written(library, "instantx", net())
    made = run(library, AppliedControl(loaded, picture(), 0.7, vae=vae(library)))
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)


def test_two_at_once_equal_diffusers(library: ModelLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import SD3MultiControlNetModel

    kind: Any = SD3MultiControlNetModel
    images: Any = [planes(picture(1)) * 2 - 1, planes(picture(2)) * 2 - 1]
    both = kind([net(), net(seed=8)])
    expected = by_diffusers(both, images, monkeypatch, controlnet_conditioning_scale=[0.7, 0.4])
    first = AppliedControl(written(library, "one", net()), picture(1), 0.7, vae=vae(library))
    second = AppliedControl(written(library, "two", net(seed=8)), picture(2), 0.4, vae=vae(library), previous=first)
    torch.testing.assert_close(run(library, second), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("sort", [None, 0, 1, 2])
def test_those_of_stability_equal_diffusers(library: ModelLibrary, monkeypatch: pytest.MonkeyPatch, sort: int | None) -> None:
    image = planes(picture())
    seen = {1: image * 127.5 + 0.5, 2: 1 - 2 * image}.get(sort or 0, image * 2 - 1)
    expected = by_diffusers(large(), seen, monkeypatch, controlnet_conditioning_scale=0.7)
    large().pos_embed = None  # the pipeline lends it the denoiser's
    loaded = written(library, f"large{sort}", large() if sort is None else published(sort))
    assert loaded.found.layout == ("diffusers" if sort is None else "original")
    made = run(library, AppliedControl(loaded, picture(), 0.7, vae=vae(library)))
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)


def test_an_inpainting_net_is_told_what_to_keep(library: ModelLibrary) -> None:
    loaded = written(library, "inpaint", net(1))
    assert loaded.found.recipe.config["extra_conditioning_channels"] == 1
    made = [run(library, AppliedControl(loaded, picture(), vae=vae(library), keep=torch.full((1, 20, 20), value))) for value in (0.0, 1.0)]
    assert (made[0] - made[1]).abs().max() > 1e-4
    assert torch.equal(run(library, AppliedControl(loaded, picture(), vae=vae(library))), made[1])


def test_without_an_autoencoder_it_says_what_to_do(library: ModelLibrary) -> None:
    with pytest.raises(NodeFailed, match=r"one\.safetensors reads pictures as latents: connect a VAE"):
        run(library, AppliedControl(written(library, "one", net()), picture()))


def test_tokens_are_masked_by_their_place(library: ModelLibrary) -> None:
    loaded, model = written(library, "one", net()), library.load_checkpoint("tiny", "diffusers").model
    mask = torch.zeros(1, HEIGHT, WIDTH)
    mask[:, : HEIGHT // 2] = 1.0
    values = {"tokens": torch.zeros(1, 5, 256), "pooled": torch.zeros(1, 192)}
    with torch.no_grad(), model.resident.use() as denoiser:
        steering = AppliedControl(loaded, picture(), mask=mask, vae=vae(library)).prepared(model, noise(16))
        made = steering.residuals(denoiser, noise(16), torch.tensor([5.0]), torch.tensor([0.5]), values)
    for part in made["block_controlnet_hidden_states"]:
        rows = part.reshape(1, 4, 8, -1)
        assert rows[:, :2].any() and not rows[:, 2:].any()
