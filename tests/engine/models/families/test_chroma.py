"""Chroma against diffusers' own pipeline on the same tiny weights."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.models.save import checkpoint_state
from tests.engine.models.families import test_flux
from tests.engine.models.families.test_flux import flux_tokens
from tests.engine.models.families.tiny import flux_autoencoder, library_at, ours, seeded, stirred, t5_text, t5_words

PROMPT = "a red cat on the beach"
NAME = "chroma.safetensors"
GUIDE = "distilled_guidance_layer."


@functools.cache
def pipeline() -> Any:
    import diffusers

    classes: Any = diffusers
    with seeded(17):
        return classes.ChromaPipeline(
            transformer=stirred(
                classes.ChromaTransformer2DModel(
                    in_channels=64, num_layers=2, num_single_layers=2, attention_head_dim=32, num_attention_heads=2, joint_attention_dim=64,
                    axes_dims_rope=(4, 14, 14), approximator_num_channels=16, approximator_hidden_dim=48, approximator_layers=2,
                )
            ),
            vae=flux_autoencoder(),
            text_encoder=t5_text(width=64),
            tokenizer=t5_words(),
            scheduler=classes.FlowMatchEulerDiscreteScheduler(shift=1.0),
        )  # fmt: skip


def published(network: Any) -> dict[str, Tensor]:
    """The transformer's tensors in the original layout, tensor by tensor."""
    out: dict[str, Tensor] = {}
    for name, tensor in network.state_dict().items():
        if name.startswith(GUIDE):
            name = name.replace(".linear_1.", ".in_layer.").replace(".linear_2.", ".out_layer.")
            out[name.replace(".weight", ".scale") if ".norms." in name else name] = tensor.clone()
    return out | test_flux.published(network)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    library = library_at(tmp_path_factory.mktemp("data"))
    models, pipe = library.folders.models, pipeline()
    text = {name: tensor.clone() for name, tensor in pipe.text_encoder.state_dict().items()}
    for folder, tensors in (("diffusion_models", published(pipe.transformer)), ("text_encoders", text)):
        (models / folder).mkdir(parents=True, exist_ok=True)
        save_file(tensors, models / folder / NAME)
    pipe.save_pretrained(models / "diffusers/whole")
    return library


@pytest.mark.parametrize("kind", ["files", "folder"])
def test_prompts_and_four_steps_of_euler_equal_diffusers(library: ModelLibrary, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "folder":
        model, clip, _ = library.load_checkpoint("whole", "diffusers")
    else:
        model, clip = library.load_diffusion_model(NAME), library.load_text_encoder((NAME,), "chroma")
    assert clip is not None and model.family == "chroma"
    pipe = pipeline()
    prepare = pipe._prepare_attention_mask
    # The pipeline makes numbers of its mask, which attention then adds; the published model hides what it marks.
    monkeypatch.setattr(pipe, "_prepare_attention_mask", lambda **given: prepare(**given).bool())
    noise = torch.randn(1, 16, 8, 16, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        words, _, mask, *_ = pipe.encode_prompt(PROMPT, "blurry", max_sequence_length=32)
        expected = pipe(
            PROMPT, negative_prompt="blurry", height=64, width=128, num_inference_steps=4, guidance_scale=3.0, latents=flux_tokens(noise),
            output_type="latent", max_sequence_length=32,
        ).images  # fmt: skip
    encoded, negative = clip.encode(PROMPT), clip.encode("blurry")
    seen = encoded.embedding.shape[1]
    assert int(mask.sum()) == seen < 32
    torch.testing.assert_close(encoded.embedding, words[:, :seen], atol=1e-5, rtol=0)
    made = ours(model, encoded.conditioning(), negative.conditioning(), noise, pipe.scheduler.sigmas.tolist(), 3.0)
    torch.testing.assert_close(flux_tokens(made), expected, atol=1e-4, rtol=1e-4)


def test_padding_beyond_the_first_token_changes_nothing(library: ModelLibrary) -> None:
    from marquetry.nodes.text_encode_families import t5_tokenizer_options

    clip = library.load_text_encoder((NAME,), "chroma")
    longer = t5_tokenizer_options(clip, 0, 40)
    torch.testing.assert_close(longer.encode(PROMPT).embedding, clip.encode(PROMPT).embedding, atol=1e-5, rtol=0)


def test_a_saved_denoiser_is_the_published_one(library: ModelLibrary) -> None:
    written, expected = checkpoint_state(model=library.load_diffusion_model(NAME)), published(pipeline().transformer)
    assert written.keys() == {f"model.diffusion_model.{name}" for name in expected}
    assert all(torch.equal(written[f"model.diffusion_model.{name}"], tensor) for name, tensor in expected.items())
