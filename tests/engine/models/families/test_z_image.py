"""Z-Image against diffusers' own pipeline on the same tiny weights."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.models.save import checkpoint_state
from tests.engine.models.families.tiny import flux_autoencoder, library_at, ours, qwen_words, seeded, stirred

PROMPT = "a red (cat:1.2) on the beach"
NAME = "z_image.safetensors"
CHAT = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant{{ '\\n' }}"


@functools.cache
def pipeline() -> Any:
    import diffusers
    import transformers

    classes: Any = diffusers
    others: Any = transformers
    words = qwen_words()
    words.chat_template = CHAT
    with seeded(13):
        config = others.Qwen3Config(
            vocab_size=151680, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=32,
            rms_norm_eps=1e-6, rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        )  # fmt: skip
        return classes.ZImagePipeline(
            transformer=stirred(
                classes.ZImageTransformer2DModel(dim=64, n_layers=2, n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=64, axes_dims=[8, 12, 12])
            ),
            vae=flux_autoencoder(),
            text_encoder=stirred(others.Qwen3Model(config)),
            tokenizer=words,
            scheduler=classes.FlowMatchEulerDiscreteScheduler(shift=3.0),
        )  # fmt: skip


def published(network: Any = None) -> dict[str, Tensor]:
    """The transformer in the original layout, tensor by tensor."""
    state = dict((network or pipeline().transformer).state_dict())
    out: dict[str, Tensor] = {"norm_final.weight": torch.ones(64)}
    for name, tensor in state.items():
        if ".to_k." in name or ".to_v." in name:
            continue
        if ".to_q." in name:
            out[name.replace("to_q", "qkv")] = torch.cat([state[name.replace("to_q", f"to_{letter}")] for letter in "qkv"])
            continue
        for ours_called, theirs in (
            ("all_x_embedder.2-1", "x_embedder"), ("all_final_layer.2-1", "final_layer"), ("to_out.0", "out"), ("norm_q", "q_norm"), ("norm_k", "k_norm"),
        ):  # fmt: skip
            name = name.replace(ours_called, theirs)
        out[name] = tensor
    return {name: tensor.clone() for name, tensor in out.items()}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    library = library_at(tmp_path_factory.mktemp("data"))
    models, pipe = library.folders.models, pipeline()
    text = {f"model.{name}": tensor.clone() for name, tensor in pipe.text_encoder.state_dict().items()}
    for folder, tensors in (("diffusion_models", published()), ("text_encoders", text)):
        (models / folder).mkdir(parents=True, exist_ok=True)
        save_file(tensors, models / folder / NAME)
    pipe.save_pretrained(models / "diffusers/whole")
    return library


def test_diffusers_reads_the_original_layout_as_we_write_it_here() -> None:
    from diffusers.loaders import single_file_utils

    convert: Any = single_file_utils.convert_z_image_transformer_checkpoint_to_diffusers
    state = pipeline().transformer.state_dict()
    read = convert(published())
    assert read.keys() == state.keys() and all(torch.equal(read[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("kind", ["files", "folder"])
def test_prompts_and_four_steps_of_euler_equal_diffusers(library: ModelLibrary, kind: str) -> None:
    if kind == "folder":
        model, clip, vae = library.load_checkpoint("whole", "diffusers")
        assert vae is not None
    else:
        model, clip = library.load_diffusion_model(NAME), library.load_text_encoder((NAME,), "lumina2")
    assert clip is not None and model.family == "z_image"
    pipe = pipeline()
    noise = torch.randn(1, 16, 8, 16, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        (words,), (nothing,) = pipe.encode_prompt(PROMPT, do_classifier_free_guidance=True, negative_prompt="blurry")
        expected = pipe(
            PROMPT, negative_prompt="blurry", height=64, width=128, num_inference_steps=4, guidance_scale=3.0, latents=noise, output_type="latent"
        ).images  # fmt: skip
    encoded, negative = clip.encode(PROMPT), clip.encode("blurry")
    torch.testing.assert_close(encoded.embedding[0], words, atol=1e-5, rtol=0)
    torch.testing.assert_close(negative.embedding[0], nothing, atol=1e-5, rtol=0)
    levels = pipe.scheduler.sigmas.tolist()
    made = ours(model, encoded.conditioning(), negative.conditioning(), noise, levels, 4.0)  # diffusers counts from the positive prompt
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)


def test_a_latent_with_odd_sides_is_made_too(library: ModelLibrary) -> None:
    prompt = library.load_text_encoder((NAME,), "lumina2").encode_conditioning(PROMPT)
    made = ours(library.load_diffusion_model(NAME), prompt, None, torch.randn(2, 16, 7, 9), [1.0, 0.5, 0.0], 1.0)
    assert made.shape == (2, 16, 7, 9) and bool(made.isfinite().all())


def test_weights_are_kept_in_eight_bits(library: ModelLibrary) -> None:
    prompt, noise = library.load_text_encoder((NAME,), "lumina2").encode_conditioning(PROMPT), torch.randn(1, 16, 8, 8)
    made, narrow = (
        ours(library.load_diffusion_model(NAME, kept), prompt, None, noise, [1.0, 0.5, 0.0], 1.0) for kept in ("default", "fp8_e4m3fn")
    )
    assert not torch.equal(made, narrow)
    torch.testing.assert_close(narrow, made, atol=0.1 * float(made.std()), rtol=0.1)


def test_a_saved_denoiser_is_the_published_one(library: ModelLibrary) -> None:
    written, expected = checkpoint_state(model=library.load_diffusion_model(NAME)), published()
    expected.pop("norm_final.weight")  # nothing reads it
    assert written.keys() == {f"model.diffusion_model.{name}" for name in expected}
    assert all(torch.equal(written[f"model.diffusion_model.{name}"], tensor) for name, tensor in expected.items())
