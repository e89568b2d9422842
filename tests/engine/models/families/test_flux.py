"""Flux.1 against diffusers' own pipelines on the same tiny weights."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from marquetry.engine.models.layout import flux
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.models.save import checkpoint_state
from tests.engine.models.families.tiny import clip_text, clip_words, library_at, ours, seeded, stirred, t5_text, t5_words

PROMPT = "a red cat on the beach"
WIDTH, HEAD = 64, 32


def transformer(channels: int = 64, *, guided: bool = True) -> Any:
    from diffusers import FluxTransformer2DModel

    kind: Any = FluxTransformer2DModel
    return stirred(
        kind(
            patch_size=1, in_channels=channels, out_channels=64, num_layers=2, num_single_layers=2, attention_head_dim=HEAD,
            num_attention_heads=WIDTH // HEAD, joint_attention_dim=64, pooled_projection_dim=64, guidance_embeds=guided, axes_dims_rope=(4, 14, 14),
        )
    )  # fmt: skip


def parts() -> dict[str, Any]:
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler

    autoencoder: Any = AutoencoderKL
    schedule: Any = FlowMatchEulerDiscreteScheduler
    return {
        "vae": stirred(
            autoencoder(
                block_out_channels=(32, 32, 32, 64), layers_per_block=1, latent_channels=16, scaling_factor=0.3611, shift_factor=0.1159,
                down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
                use_quant_conv=False, use_post_quant_conv=False,
            )
        ),
        "text_encoder": clip_text(64, 3, "quick_gelu", projected=False),
        "text_encoder_2": t5_text(width=64),
        "tokenizer": clip_words(),
        "tokenizer_2": t5_words(),
        "scheduler": schedule(shift=1.0),
    }  # fmt: skip


@functools.cache
def pipeline(kind: str = "dev") -> Any:
    import diffusers

    classes: Any = diffusers
    with seeded(3):
        if kind == "fill":
            return classes.FluxFillPipeline(**parts(), transformer=transformer(384))
        if kind == "control":
            return classes.FluxControlPipeline(**parts(), transformer=transformer(128))
        if kind == "kontext":
            return classes.FluxKontextPipeline(**parts(), transformer=transformer())
        return classes.FluxPipeline(**parts(), transformer=transformer(guided=kind == "dev"))


def published(network: Any) -> dict[str, Tensor]:
    """The transformer's tensors in the original layout, tensor by tensor."""
    state = dict(network.state_dict())
    out: dict[str, Tensor] = {}

    def move(target: str, source: str) -> None:
        for suffix in ("weight", "bias"):
            if f"{source}.{suffix}" in state:
                out[f"{target}.{suffix}"] = state[f"{source}.{suffix}"]

    def join(target: str, *sources: str) -> None:
        for suffix in ("weight", "bias"):
            out[f"{target}.{suffix}"] = torch.cat([state[f"{source}.{suffix}"] for source in sources])

    for source, target in flux.EMBEDDERS:
        move(target, source)
    for suffix in ("weight", "bias") if "norm_out.linear.weight" in state else ():
        out[f"final_layer.adaLN_modulation.1.{suffix}"] = torch.cat(state[f"norm_out.linear.{suffix}"].chunk(2)[::-1])
    for layer in range(network.config.num_layers):
        block, place = f"transformer_blocks.{layer}.", f"double_blocks.{layer}."
        for source, target in flux.DOUBLE:
            move(place + target, block + source)
        for source, target in flux.DOUBLE_NORMS:
            out[f"{place}{target}.scale"] = state[f"{block}{source}.weight"]
        join(f"{place}img_attn.qkv", *(f"{block}attn.to_{name}" for name in "qkv"))
        join(f"{place}txt_attn.qkv", *(f"{block}attn.add_{name}_proj" for name in "qkv"))
    for layer in range(network.config.num_single_layers):
        block, place = f"single_transformer_blocks.{layer}.", f"single_blocks.{layer}."
        for source, target in flux.SINGLE:
            move(place + target, block + source)
        for source, target in flux.SINGLE_NORMS:
            out[f"{place}{target}.scale"] = state[f"{block}{source}.weight"]
        join(f"{place}linear1", *(f"{block}attn.to_{name}" for name in "qkv"), f"{block}proj_mlp")
    return {name: tensor.clone() for name, tensor in out.items()}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    library = library_at(tmp_path_factory.mktemp("data"))
    models = library.folders.models
    for folder in ("diffusion_models", "text_encoders"):
        (models / folder).mkdir(parents=True, exist_ok=True)
    for kind in ("dev", "schnell", "fill", "control", "kontext"):
        save_file(published(pipeline(kind).transformer), models / f"diffusion_models/{kind}.safetensors")
    pipe = pipeline()
    pipe.save_pretrained(models / "diffusers/dev")
    for name, encoder in (("clip_l", pipe.text_encoder), ("t5xxl", pipe.text_encoder_2)):
        save_file({key: tensor.clone() for key, tensor in encoder.state_dict().items()}, models / f"text_encoders/{name}.safetensors")
    return library


def test_diffusers_reads_the_original_layout_as_we_write_it_here() -> None:
    from diffusers.loaders import single_file_utils

    convert: Any = single_file_utils.convert_flux_transformer_checkpoint_to_diffusers

    network = pipeline().transformer
    state, written = dict(network.state_dict()), published(network)
    fused = [name for name in written if ".linear1." in name]
    for name in fused:  # diffusers cuts these at the published width, so they are stood in for by rows that know their numbers
        written[name] = torch.arange(7 * 3072.0).reshape(-1, *(1,) * name.endswith("weight"))
    read = convert(written)
    assert read.keys() == state.keys() and fused
    first = {"to_q": 0, "to_k": 3072, "to_v": 6144, "proj_mlp": 9216}
    for name, tensor in read.items():
        module = name.split(".")[-2]
        if "single" in name and module in first:
            assert float(tensor.flatten()[0]) == first[module]
        else:
            assert torch.equal(tensor, state[name])


@pytest.mark.parametrize("kind", ["dev", "schnell", "folder"])
def test_prompts_and_four_steps_of_euler_equal_diffusers(library: ModelLibrary, kind: str) -> None:
    pipe = pipeline("schnell" if kind == "schnell" else "dev")
    if kind == "folder":
        model, clip, _ = library.load_checkpoint("dev", "diffusers")
    else:
        model, clip = (
            library.load_diffusion_model(f"{kind}.safetensors"),
            library.load_text_encoder(("t5xxl.safetensors", "clip_l.safetensors"), "flux"),
        )
        pipe.text_encoder, pipe.text_encoder_2 = pipeline().text_encoder, pipeline().text_encoder_2
    assert clip is not None and model.family == "flux"
    noise = torch.randn(1, 16, 8, 16, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        words, pooled, _ = pipe.encode_prompt(PROMPT, PROMPT, max_sequence_length=256)
        expected = pipe(
            PROMPT, height=64, width=128, num_inference_steps=4, guidance_scale=2.5, latents=flux_tokens(noise), output_type="latent",
            max_sequence_length=256,
        ).images  # fmt: skip
    encoded = clip.encode(PROMPT)
    torch.testing.assert_close(encoded.embedding, words, atol=1e-5, rtol=0)
    torch.testing.assert_close(encoded.pooled, pooled, atol=1e-5, rtol=0)
    made = ours(model, encoded.conditioning(guidance=2.5), None, noise, pipe.scheduler.sigmas.tolist(), 1.0)
    torch.testing.assert_close(flux_tokens(made), expected, atol=1e-4, rtol=1e-4)


def flux_tokens(latent: Tensor) -> Tensor:
    from diffusers import FluxPipeline

    pipe: Any = FluxPipeline
    tokens: Tensor = pipe._pack_latents(latent, latent.shape[0], latent.shape[1], *latent.shape[2:])
    return tokens


def prompt_of(library: ModelLibrary, **extras: Any) -> Any:
    return (
        library.load_text_encoder(("t5xxl.safetensors", "clip_l.safetensors"), "flux").encode(PROMPT).conditioning(guidance=2.5, **extras)
    )


def with_own_encoders(kind: str) -> Any:
    pipe = pipeline(kind)
    pipe.text_encoder, pipe.text_encoder_2 = pipeline().text_encoder, pipeline().text_encoder_2
    return pipe


def test_the_fill_model_takes_picture_and_mask(library: ModelLibrary) -> None:
    pipe, model = with_own_encoders("fill"), library.load_diffusion_model("fill.safetensors")
    generator = torch.Generator().manual_seed(6)
    noise, picture = torch.randn(1, 16, 8, 16, generator=generator), torch.rand(1, 3, 64, 128, generator=generator)
    mask = torch.zeros(1, 1, 64, 128)
    mask[..., 16:48, 24:80] = 1.0
    hidden = (picture * 2 - 1) * (1 - mask)
    with torch.no_grad():
        latent = pipe.vae.encode(hidden).latent_dist.mean
        pipe.vae.encode = _mean_of(pipe.vae)
        expected = pipe(
            PROMPT, image=picture, height=64, width=128, num_inference_steps=4, guidance_scale=2.5, latents=flux_tokens(noise),
            mask_image=mask, output_type="latent", max_sequence_length=256,
        ).images  # fmt: skip
    prompt = prompt_of(library, concat_latent_image=latent, concat_mask=mask)
    made = ours(model, prompt, None, noise, pipe.scheduler.sigmas.tolist(), 1.0)
    torch.testing.assert_close(flux_tokens(made), expected, atol=1e-4, rtol=1e-4)


def test_a_picture_beside_the_latent_controls(library: ModelLibrary) -> None:
    pipe, model = with_own_encoders("control"), library.load_diffusion_model("control.safetensors")
    generator = torch.Generator().manual_seed(7)
    noise, picture = torch.randn(1, 16, 8, 16, generator=generator), torch.rand(1, 3, 64, 128, generator=generator)
    with torch.no_grad():
        pipe.vae.encode = _mean_of(pipe.vae)
        latent = pipe.vae.encode(picture * 2 - 1).latent_dist.mean
        expected = pipe(
            PROMPT, control_image=picture * 2 - 1, height=64, width=128, num_inference_steps=4, guidance_scale=2.5, latents=flux_tokens(noise),
            output_type="latent", max_sequence_length=256,
        ).images  # fmt: skip
    made = ours(model, prompt_of(library, concat_latent_image=latent), None, noise, pipe.scheduler.sigmas.tolist(), 1.0)
    torch.testing.assert_close(flux_tokens(made), expected, atol=1e-4, rtol=1e-4)


def _mean_of(vae: Any) -> Any:
    """Its encoder without chance: the pipeline draws a sample, nodes take the mean."""
    encode = type(vae).encode

    def without_chance(pixels: Tensor, return_dict: bool = True) -> Any:
        answer = encode(vae, pixels)
        answer.latent_dist.sample = lambda generator=None: answer.latent_dist.mean
        return answer

    return without_chance


def test_reference_pictures_are_further_tokens(library: ModelLibrary) -> None:
    pipe, model = with_own_encoders("kontext"), library.load_diffusion_model("kontext.safetensors")
    generator = torch.Generator().manual_seed(8)
    noise, picture = torch.randn(1, 16, 8, 16, generator=generator), torch.rand(1, 3, 64, 96, generator=generator)
    with torch.no_grad():
        latent = pipe.vae.encode(picture * 2 - 1).latent_dist.mean
        expected = pipe(
            image=picture, prompt=PROMPT, height=64, width=128, num_inference_steps=4, guidance_scale=2.5, latents=flux_tokens(noise),
            output_type="latent", max_sequence_length=256, _auto_resize=False, max_area=64 * 128,
        ).images  # fmt: skip
    made = ours(model, prompt_of(library, reference_latents=[latent]), None, noise, pipe.scheduler.sigmas.tolist(), 1.0)
    torch.testing.assert_close(flux_tokens(made), expected, atol=1e-4, rtol=1e-4)


def test_a_latent_with_odd_sides_is_made_too(library: ModelLibrary) -> None:
    model = library.load_diffusion_model("dev.safetensors")
    made = ours(model, prompt_of(library), None, torch.randn(1, 16, 7, 9), [1.0, 0.5, 0.0], 1.0)
    assert made.shape == (1, 16, 7, 9) and bool(made.isfinite().all())


def test_a_saved_denoiser_is_the_published_one(library: ModelLibrary) -> None:
    model = library.load_diffusion_model("dev.safetensors")
    written, expected = checkpoint_state(model=model), published(pipeline().transformer)
    assert written.keys() == {f"model.diffusion_model.{name}" for name in expected}
    assert all(torch.equal(written[f"model.diffusion_model.{name}"], tensor) for name, tensor in expected.items())
