"""Stable Diffusion 3 against diffusers' own pipeline on the same tiny weights."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from marquetry.engine.models.families.registry import family
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.models.network import original_state
from marquetry.engine.models.save import checkpoint_state
from tests.checkpoints import header_of
from tests.engine.models.families.tiny import NEGATIVE, clip_text, clip_words, library_at, ours, seeded, stirred, t5_text, t5_words

PROMPT = "a red cat on the beach"


@functools.cache
def pipeline(large: bool = False) -> Any:
    """With `large`, as 3.5: normalised queries, second attentions."""
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    pipe: Any = StableDiffusion3Pipeline
    transformer: Any = SD3Transformer2DModel
    autoencoder: Any = AutoencoderKL
    schedule: Any = FlowMatchEulerDiscreteScheduler
    with seeded(2):
        first = clip_text(64, 3, "quick_gelu", projected=True)
        first.text_projection.weight.data = torch.eye(64)  # the published one isn't projected
        return pipe(
            vae=stirred(
                autoencoder(
                    block_out_channels=(32, 32, 32, 64), layers_per_block=1, latent_channels=16, scaling_factor=1.5305, shift_factor=0.0609,
                    down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
                    use_quant_conv=False, use_post_quant_conv=False,
                )
            ),
            text_encoder=first,
            text_encoder_2=clip_text(128, 4, "gelu", projected=True, pad=0),
            text_encoder_3=t5_text(width=256),
            tokenizer=clip_words(),
            tokenizer_2=clip_words("!"),
            tokenizer_3=t5_words(),
            transformer=stirred(
                transformer(
                    sample_size=16, patch_size=2, in_channels=16, num_layers=3, attention_head_dim=64, num_attention_heads=2,
                    joint_attention_dim=256, caption_projection_dim=128, pooled_projection_dim=192, out_channels=16, pos_embed_max_size=24,
                    qk_norm="rms_norm" if large else None, dual_attention_layers=(0, 1) if large else (),
                )
            ),
            scheduler=schedule(shift=3.0),
        )  # fmt: skip


def original(pipe: Any) -> dict[str, Tensor]:
    """A checkpoint in the original layout: parts under the prefixes that are published."""
    parts = {"transformer": pipe.transformer, "vae": pipe.vae}
    states = {part: dict(network.state_dict()) for part, network in parts.items()}
    names = {f"{part}.{name}": tensor for part, state in states.items() for name, tensor in state.items()}
    found = family("sd3").recognise(header_of(names), {})
    assert found is not None
    written = original_state(family("sd3").original_table(found, "vae", states["vae"]), states["vae"])
    for role, encoder in (("clip_l", pipe.text_encoder), ("clip_g", pipe.text_encoder_2), ("t5xxl", pipe.text_encoder_3)):
        own = {name: tensor for name, tensor in encoder.state_dict().items() if name != "encoder.embed_tokens.weight"}
        written |= {f"text_encoders.{role}.transformer.{name}": tensor.clone() for name, tensor in own.items()}
    return written | {f"model.diffusion_model.{name}": tensor for name, tensor in published(pipe.transformer).items()}


def published(network: Any) -> dict[str, Tensor]:
    """The transformer's tensors in the original layout, by the inverse of diffusers' own conversion, tensor by tensor."""
    from marquetry.engine.models.layout import mmdit

    layers = network.config.num_layers
    state = dict(network.state_dict())
    out = {"pos_embed": state["pos_embed.pos_embed"]}
    for ours_called, theirs in mmdit.EMBEDDERS:
        for suffix in ("weight", "bias"):
            out[f"{theirs}.{suffix}"] = state[f"{ours_called}.{suffix}"]
    for suffix in ("weight", "bias"):
        out[f"final_layer.adaLN_modulation.1.{suffix}"] = torch.cat(state[f"norm_out.linear.{suffix}"].chunk(2)[::-1])
    for layer in range(layers):
        block, target = f"transformer_blocks.{layer}.", f"joint_blocks.{layer}."
        for suffix in ("weight", "bias"):
            joined = {
                "x_block.attn": ("attn.to_q", "attn.to_k", "attn.to_v"),
                "context_block.attn": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
                "x_block.attn2": ("attn2.to_q", "attn2.to_k", "attn2.to_v"),
            }
            for place, names in joined.items():
                if f"{block}{names[0]}.{suffix}" in state:
                    out[f"{target}{place}.qkv.{suffix}"] = torch.cat([state[f"{block}{name}.{suffix}"] for name in names])
            moved = [
                *((ours_called, f"x_block.{theirs}") for ours_called, theirs in mmdit.PICTURE),
                *((ours_called, f"context_block.{theirs}") for ours_called, theirs in mmdit.WORDS),
                ("attn2.to_out.0", "x_block.attn2.proj"), *mmdit.NORMS,
            ]  # fmt: skip
            for ours_called, theirs in moved:
                if f"{block}{ours_called}.{suffix}" in state:
                    out[f"{target}{theirs}.{suffix}"] = state[f"{block}{ours_called}.{suffix}"]
            words = state[f"{block}norm1_context.linear.{suffix}"]
            out[f"{target}context_block.adaLN_modulation.1.{suffix}"] = torch.cat(words.chunk(2)[::-1]) if layer == layers - 1 else words
    return {name: tensor.clone() for name, tensor in out.items()}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    library = library_at(tmp_path_factory.mktemp("data"))
    for large in (False, True):
        pipeline(large).save_pretrained(library.folders.models / f"diffusers/{large}")
        save_file(original(pipeline(large)), library.folders.models / f"checkpoints/{large}.safetensors")
    return library


KINDS = [(large, f"{large}{end}", kind) for large in (False, True) for end, kind in (("", "diffusers"), (".safetensors", "checkpoints"))]


@pytest.mark.parametrize("large", [False, True])
def test_diffusers_reads_the_original_layout_as_we_write_it_here(large: bool) -> None:
    from diffusers.loaders import single_file_utils

    convert: Any = single_file_utils.convert_sd3_transformer_checkpoint_to_diffusers

    network = pipeline(large).transformer
    read = convert(published(network))
    assert read.keys() == network.state_dict().keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(("large", "name", "kind"), KINDS)
def test_prompts_and_four_steps_of_euler_equal_diffusers(library: ModelLibrary, large: bool, name: str, kind: str) -> None:
    model, clip, vae = library.load_checkpoint(name, kind)
    assert clip is not None and vae is not None and model.family == "sd3"
    pipe = pipeline(large)
    with torch.no_grad():
        words, _, pooled, _ = pipe.encode_prompt(PROMPT, PROMPT, PROMPT, do_classifier_free_guidance=False, max_sequence_length=77)
    encoded = clip.encode(PROMPT)
    torch.testing.assert_close(encoded.embedding, words, atol=1e-5, rtol=0)
    torch.testing.assert_close(encoded.pooled, pooled, atol=1e-5, rtol=0)
    noise = torch.randn(1, 16, 8, 16, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected = pipe(
            PROMPT, negative_prompt=NEGATIVE, height=64, width=128, num_inference_steps=4, guidance_scale=5.0, latents=noise,
            output_type="latent", max_sequence_length=77,
        ).images  # fmt: skip
        picture = pipe.vae.decode(noise).sample
    levels = pipe.scheduler.sigmas.tolist()
    made = ours(model, clip.encode_conditioning(PROMPT), clip.encode_conditioning(NEGATIVE), noise, levels, 5.0)
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(vae.decode(noise), ((picture + 1) / 2).clamp(0, 1).movedim(1, -1), atol=1e-5, rtol=0)


def test_a_saved_checkpoint_is_the_published_one(library: ModelLibrary) -> None:
    model, clip, vae = library.load_checkpoint("True.safetensors")
    written, expected = checkpoint_state(model=model, clip=clip, vae=vae), original(pipeline(True))
    written = {name: tensor for name, tensor in written.items() if not name.endswith("encoder.embed_tokens.weight")}
    assert written.keys() == expected.keys()
    assert all(torch.equal(written[name], tensor) for name, tensor in expected.items())


def test_separate_encoders_in_any_order_and_number(library: ModelLibrary) -> None:
    pipe, folder = pipeline(), library.folders.models / "text_encoders"
    for name, encoder in (("l", pipe.text_encoder), ("g", pipe.text_encoder_2), ("t5", pipe.text_encoder_3)):
        save_file({key: tensor.clone() for key, tensor in encoder.state_dict().items()}, folder / f"{name}.safetensors")
    whole = library.load_checkpoint("False.safetensors").clip
    assert whole is not None
    clip = library.load_text_encoder(("t5.safetensors", "g.safetensors", "l.safetensors"), "sd3")
    torch.testing.assert_close(clip.encode(PROMPT).embedding, whole.encode(PROMPT).embedding, atol=1e-6, rtol=0)
    two = library.load_text_encoder(("l.safetensors", "g.safetensors"), "sd3").encode(PROMPT)
    assert two.embedding.shape == (1, 77, 4096)
    torch.testing.assert_close(two.pooled, whole.encode(PROMPT).pooled, atol=1e-6, rtol=0)
