"""SDXL against diffusers' own pipeline on the same tiny weights."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from marquetry.engine.models.library import ModelLibrary
from tests.engine.models.families.tiny import NEGATIVE, clip_text, clip_words, library_at, ours, seeded, stirred

PROMPT = "a red cat on the beach"
UNET: dict[str, Any] = {
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "sample_size": 8,
    "use_linear_projection": True,
    "attention_head_dim": (1, 1),
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "norm_num_groups": 32,
}


@functools.cache
def pipeline() -> Any:
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel

    pipe: Any = StableDiffusionXLPipeline
    unet: Any = UNet2DConditionModel
    autoencoder: Any = AutoencoderKL
    schedule: Any = EulerDiscreteScheduler
    with seeded(1):
        return pipe(
            vae=stirred(
                autoencoder(
                    block_out_channels=(32, 32, 32, 64), layers_per_block=1, latent_channels=4, scaling_factor=0.13025,
                    down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
                )
            ),
            text_encoder=clip_text(64, 3, "quick_gelu", projected=False),
            text_encoder_2=clip_text(128, 4, "gelu", projected=True, pad=0),
            tokenizer=clip_words(),
            tokenizer_2=clip_words("!"),
            unet=stirred(
                unet(
                    **UNET, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
                    transformer_layers_per_block=(1, 2), cross_attention_dim=192, projection_class_embeddings_input_dim=128 + 6 * 256,
                )
            ),
            scheduler=schedule(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, timestep_spacing="linspace"),
        )  # fmt: skip


def original(pipe: Any) -> dict[str, Tensor]:
    """The checkpoint in the original layout, by our own tables; another test has diffusers read it."""
    from marquetry.engine.models.families.registry import family
    from marquetry.engine.models.network import original_state
    from tests.checkpoints import header_of

    parts = {"unet": pipe.unet, "vae": pipe.vae, "text_encoder": pipe.text_encoder, "text_encoder_2": pipe.text_encoder_2}
    states = {part: dict(network.state_dict()) for part, network in parts.items()}
    found = family("sdxl").recognise(
        header_of({f"{part}.{name}": tensor for part, state in states.items() for name, tensor in state.items()}), {}
    )
    assert found is not None
    written: dict[str, Tensor] = {}
    for part, ours_called in {"unet": "denoiser", "vae": "vae", "text_encoder": "clip_l", "text_encoder_2": "clip_g"}.items():
        state = {name.removeprefix("text_model."): tensor for name, tensor in states[part].items()}
        written |= original_state(family("sdxl").original_table(found, ours_called, state), state)
    return written


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    library = library_at(tmp_path_factory.mktemp("data"))
    pipeline().save_pretrained(library.folders.models / "diffusers/tiny")
    save_file(original(pipeline()), library.folders.models / "checkpoints/tiny.safetensors")
    return library


KINDS = [("tiny", "diffusers"), ("tiny.safetensors", "checkpoints")]


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_prompts_are_encoded_as_by_diffusers(library: ModelLibrary, name: str, kind: str) -> None:
    _, clip, _ = library.load_checkpoint(name, kind)
    assert clip is not None
    with torch.no_grad():
        words, _, pooled, _ = pipeline().encode_prompt(PROMPT, do_classifier_free_guidance=False)
    encoded = clip.encode(PROMPT)
    torch.testing.assert_close(encoded.embedding, words, atol=1e-5, rtol=0)
    torch.testing.assert_close(encoded.pooled, pooled, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_four_steps_of_euler_give_the_latent_of_diffusers(library: ModelLibrary, name: str, kind: str) -> None:
    model, clip, _ = library.load_checkpoint(name, kind)
    assert clip is not None and model.family == "sdxl"
    noise = torch.randn(1, 4, 8, 16, generator=torch.Generator().manual_seed(5))
    pipe = pipeline()
    pipe.scheduler.set_timesteps(4)
    highest = float(pipe.scheduler.sigmas[0])
    scaled = noise * (1 + highest**2) ** 0.5 / highest  # diffusers starts from noise of that level, ComfyUI from what that level looks like
    with torch.no_grad():
        expected = pipe(
            PROMPT,
            negative_prompt=NEGATIVE,
            height=64,
            width=128,
            num_inference_steps=4,
            guidance_scale=5.0,
            latents=scaled,
            output_type="latent",
        ).images
    levels = pipe.scheduler.sigmas.tolist()
    made = ours(model, clip.encode_conditioning(PROMPT), clip.encode_conditioning(NEGATIVE), noise, levels, 5.0)
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)


def test_diffusers_reads_the_original_layout_that_is_written(library: ModelLibrary) -> None:
    from diffusers.loaders import single_file_utils

    convert: Any = single_file_utils.convert_ldm_unet_checkpoint

    state, pipe = original(pipeline()), pipeline()
    config = dict(pipe.unet.config)
    unet = convert(dict(state), config)
    assert unet.keys() == pipe.unet.state_dict().keys()
    assert all(torch.equal(unet[name], tensor) for name, tensor in pipe.unet.state_dict().items())


def test_sizes_and_crops_reach_the_network(library: ModelLibrary) -> None:
    model, clip, _ = library.load_checkpoint("tiny.safetensors")
    assert clip is not None
    ((embedding, extras),) = clip.encode(PROMPT).conditioning(width=1216, height=832, crop_w=4, target_width=1024)
    values = model.conditioning(embedding, extras, batch=2, latent_shape=(2, 4, 8, 8))
    assert values["sizes"].tolist() == [[832, 1216, 0, 4, 832, 1024]] * 2
    plain = model.conditioning(embedding, clip.encode_conditioning(PROMPT)[0][1], batch=1, latent_shape=(1, 4, 8, 16))
    assert plain["sizes"].tolist() == [[64, 128, 0, 0, 64, 128]]


def test_two_files_of_text_encoders_are_read_in_any_order(library: ModelLibrary) -> None:
    pipe = pipeline()
    folder = library.folders.models / "text_encoders"
    save_file({name: tensor.clone() for name, tensor in pipe.text_encoder.state_dict().items()}, folder / "l.safetensors")
    save_file({name: tensor.clone() for name, tensor in pipe.text_encoder_2.state_dict().items()}, folder / "g.safetensors")
    whole = library.load_checkpoint("tiny.safetensors").clip
    assert whole is not None
    for names in (("l.safetensors", "g.safetensors"), ("g.safetensors", "l.safetensors")):
        clip = library.load_text_encoder(names, "sdxl")
        assert torch.equal(clip.encode(PROMPT).embedding, whole.encode(PROMPT).embedding)


def test_a_saved_checkpoint_is_read_back(library: ModelLibrary) -> None:
    from marquetry.engine.models.save import checkpoint_state

    model, clip, vae = library.load_checkpoint("tiny", "diffusers")
    written = checkpoint_state(model=model, clip=clip, vae=vae)
    expected = original(pipeline())
    assert written.keys() == expected.keys()
    assert all(torch.equal(written[name], tensor) for name, tensor in expected.items())
