"""Qwen-Image and its editing models against diffusers' own pipelines on the same tiny weights."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from marquetry.engine.models.families import qwen_image
from marquetry.engine.models.layout import causal_autoencoder
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.models.save import checkpoint_state
from tests.engine.models.families.test_flux import flux_tokens
from tests.engine.models.families.tiny import library_at, ours, qwen_sight, qwen_words, seeded, stirred

PROMPT = "a red (cat:1.2) on the beach, \n{smiling}"
NAME = "qwen_image.safetensors"


@functools.cache
def parts() -> dict[str, Any]:
    import diffusers

    classes: Any = diffusers
    with seeded(11):
        return {
            "transformer": stirred(
                classes.QwenImageTransformer2DModel(
                    in_channels=64, out_channels=16, num_layers=2, attention_head_dim=32, num_attention_heads=2, joint_attention_dim=128,
                    axes_dims_rope=(4, 14, 14),
                )
            ),
            "vae": stirred(classes.AutoencoderKLQwenImage(base_dim=8, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=1)),
            "text_encoder": qwen_sight(),
            "tokenizer": qwen_words(),
            "scheduler": classes.FlowMatchEulerDiscreteScheduler(shift=1.0),
        }  # fmt: skip


@functools.cache
def pipeline(kind: str = "") -> Any:
    """Of that kind: plain, `Edit` or `EditPlus`."""
    import diffusers

    classes: Any = diffusers
    if not kind:
        return classes.QwenImagePipeline(**parts())
    return getattr(classes, f"QwenImage{kind}Pipeline")(**parts(), processor=SeeingWords())


class SeeingWords:
    """Qwen2.5-VL's processor from transformers' parts; whole, it needs torchvision for films."""

    def __init__(self) -> None:
        import transformers

        classes: Any = transformers
        self.pictures = classes.Qwen2VLImageProcessorPil()

    def __call__(self, *, text: list[str], images: Any, padding: bool, return_tensors: str) -> Any:
        from transformers import BatchEncoding

        seen = self.pictures(images=images, return_tensors="pt")
        for grid in seen["image_grid_thw"]:
            text = [words.replace("<|image_pad|>", "<|seen|>" * (int(grid.prod()) // 4), 1) for words in text]
        tokens = parts()["tokenizer"]([words.replace("<|seen|>", "<|image_pad|>") for words in text], return_tensors="pt")
        return BatchEncoding({**tokens, **seen})


def published_vae() -> dict[str, Tensor]:
    """The autoencoder in the original layout, tensor by tensor."""
    network = parts()["vae"]
    sizes = causal_autoencoder.CausalSizes(8, 16, (1, 2, 4, 4), 1, (False, True, True))
    names = dict(causal_autoencoder.modules(sizes))
    state = network.state_dict()
    return {f"{names[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": tensor.clone() for name, tensor in state.items()}


def published_text() -> dict[str, Tensor]:
    """As ComfyUI's files name it."""
    inner = parts()["text_encoder"].model
    words = {f"model.{name}": tensor.clone() for name, tensor in inner.language_model.state_dict().items()}
    return words | {f"visual.{name}": tensor.clone() for name, tensor in inner.visual.state_dict().items()}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    library = library_at(tmp_path_factory.mktemp("data"))
    models = library.folders.models
    for folder, tensors in (
        ("diffusion_models", dict(parts()["transformer"].state_dict())),
        ("text_encoders", published_text()),
        ("vae", published_vae()),
    ):
        (models / folder).mkdir(parents=True, exist_ok=True)
        save_file(tensors, models / folder / NAME)
    pipeline().save_pretrained(models / "diffusers/whole")
    return library


@pytest.mark.parametrize("kind", ["files", "folder"])
def test_prompts_and_four_steps_of_euler_equal_diffusers(library: ModelLibrary, kind: str) -> None:
    if kind == "folder":
        model, clip, vae = library.load_checkpoint("whole", "diffusers")
    else:
        model, vae = library.load_diffusion_model(NAME), library.load_vae(NAME)
        clip = library.load_text_encoder((NAME,), "qwen_image")
    assert clip is not None and vae is not None and model.family == vae.family == "qwen_image"
    pipe = pipeline()
    noise = torch.randn(1, 16, 8, 16, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        words, _ = pipe.encode_prompt(PROMPT)
        expected = pipe(PROMPT, height=64, width=128, num_inference_steps=4, latents=flux_tokens(noise), output_type="latent").images
    encoded = clip.encode(PROMPT)
    torch.testing.assert_close(encoded.embedding, words, atol=1e-5, rtol=0)
    made = ours(model, encoded.conditioning(), None, noise, pipe.scheduler.sigmas.tolist(), 1.0)
    torch.testing.assert_close(flux_tokens(made), expected, atol=1e-4, rtol=1e-4)


def test_pictures_go_through_the_autoencoder_as_in_diffusers(library: ModelLibrary) -> None:
    vae, network = library.load_vae(NAME), parts()["vae"]
    pixels = torch.rand(2, 32, 48, 3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        latent = network.encode((pixels.movedim(-1, 1) * 2 - 1)[:, :, None]).latent_dist.mode()
        picture = network.decode(latent).sample[:, :, 0]
    assert (vae.downscale_ratio, vae.latent_channels) == (8, 16)
    torch.testing.assert_close(vae.encode(pixels), latent[:, :, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(vae.decode(latent[:, :, 0]), ((picture + 1) / 2).clamp(0, 1).movedim(1, -1), atol=1e-5, rtol=0)
    scaled = library.load_diffusion_model(NAME).latent_format.process_in(latent[:, :, 0])
    mean, deviation = (torch.tensor(values).reshape(1, 16, 1, 1) for values in (network.config.latents_mean, network.config.latents_std))
    torch.testing.assert_close(scaled, (latent[:, :, 0] - mean) / deviation)
    torch.testing.assert_close(library.load_diffusion_model(NAME).latent_format.process_out(scaled), latent[:, :, 0])


def test_diffusers_reads_the_original_autoencoder_as_we_write_it_here() -> None:
    from diffusers import AutoencoderKLQwenImage
    from diffusers.loaders import single_file_utils

    convert: Any = single_file_utils.convert_wan_vae_to_diffusers
    kind: Any = AutoencoderKLQwenImage
    network = kind(base_dim=8, z_dim=16)  # its numbers of layers are wired in there
    sizes = causal_autoencoder.CausalSizes(8, 16, (1, 2, 4, 4), 2, (False, True, True))
    names, state = dict(causal_autoencoder.modules(sizes)), network.state_dict()
    written = {f"{names[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": tensor for name, tensor in state.items()}
    read = convert(written)
    assert read.keys() == state.keys() and all(torch.equal(read[name], tensor) for name, tensor in state.items())


def test_saved_parts_are_the_published_ones(library: ModelLibrary) -> None:
    vae = checkpoint_state(vae=library.load_vae(NAME))
    assert {name.removeprefix("first_stage_model."): tensor.shape for name, tensor in vae.items()} == {
        name: tensor.shape for name, tensor in published_vae().items()
    }
    model = checkpoint_state(model=library.load_diffusion_model(NAME))
    assert model.keys() == {f"model.diffusion_model.{name}" for name in parts()["transformer"].state_dict()}
    clip = checkpoint_state(clip=library.load_text_encoder((NAME,), "qwen_image"))
    assert clip.keys() == {f"text_encoders.qwen25_7b.transformer.{name}" for name in published_text() if not name.startswith("visual.")}


@pytest.mark.parametrize(("kind", "count"), [("Edit", 1), ("EditPlus", 1), ("EditPlus", 2)])
def test_prompts_see_pictures_and_references_are_further_tokens(
    library: ModelLibrary, kind: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = parts()["text_encoder"]
    forward = encoder.forward

    def told_of_pictures(input_ids: Tensor, **given: Any) -> Any:
        """The pipeline leaves out where the pictures are; then this release of transformers gives them places as if they were words."""
        return forward(input_ids=input_ids, mm_token_type_ids=(input_ids == 151655).int(), **given)

    monkeypatch.setattr(encoder, "forward", told_of_pictures)
    pipe, model = pipeline(kind), library.load_diffusion_model(NAME)
    generator = torch.Generator().manual_seed(8)
    noise = torch.randn(1, 16, 8, 16, generator=generator)
    pictures = [(torch.rand(1, 56 + 28 * number, 84, 3, generator=generator) * 255).round() / 255 for number in range(count)]
    shown = [picture[0].movedim(-1, 0) for picture in pictures]
    latents = [torch.randn(1, 16, 4, 6 + 2 * number, generator=generator) for number in range(count)]
    words = "".join(f"Picture {number + 1}: {qwen_image.SEEN}" for number in range(count)) if kind == "EditPlus" else qwen_image.SEEN
    with torch.no_grad():
        images = [(picture * 255).round().byte().numpy() for picture in shown]
        told, _ = pipe.encode_prompt(prompt=PROMPT, image=images if kind == "EditPlus" else images[0])
        tokens = [flux_tokens(model.latent_format.process_in(latent)) for latent in latents]
        shapes = [[(1, 4, 8), *((1, latent.shape[2] // 2, latent.shape[3] // 2) for latent in latents)]]
        expected, levels = flux_tokens(noise), [1.0, 0.75, 0.5, 0.25, 0.0]
        for level, following in itertools.pairwise(levels):
            output = pipe.transformer(
                torch.cat([expected, *tokens], dim=1), encoder_hidden_states=told, timestep=torch.tensor([level]), img_shapes=shapes, return_dict=False
            )[0]  # fmt: skip
            expected = expected + output[:, : expected.shape[1]] * (following - level)
    encoded = library.load_text_encoder((NAME,), "qwen_image").encode_seeing(words + PROMPT, pictures, qwen_image.EDIT_TEMPLATE)
    torch.testing.assert_close(encoded.embedding, told, atol=1e-5, rtol=0)
    made = ours(model, encoded.conditioning(reference_latents=latents), None, noise, levels, 1.0)
    torch.testing.assert_close(flux_tokens(made), expected, atol=1e-4, rtol=1e-4)
