"""AuraFlow against diffusers' own pipeline on the same tiny weights."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from marquetry.engine.models.layout import aura_flow
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.models.save import checkpoint_state
from marquetry.engine.models.text.own_vocabulary import sentence_piece
from tests.engine.models.families.tiny import library_at, ours, seeded, stirred
from tests.engine.models.sentence_pieces import LLAMA_MARKS, PIECES, piece_model

PROMPT = "a red cat"
NAME = "aura_flow.safetensors"


def words() -> Any:
    """A tokenizer of transformers on the same pieces, which ends prompts as Pile-T5's does."""
    import transformers
    from tokenizers import processors

    classes: Any = transformers
    tokenizer = sentence_piece(piece_model(LLAMA_MARKS, prefixed=True))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    return classes.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>")


@functools.cache
def pipeline() -> Any:
    import diffusers
    import transformers

    classes: Any = diffusers
    others: Any = transformers
    with seeded(23):
        config = others.UMT5Config(
            vocab_size=len(PIECES),
            d_model=64,
            d_kv=16,
            d_ff=128,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
        )
        return classes.AuraFlowPipeline(
            transformer=stirred(
                classes.AuraFlowTransformer2DModel(
                    num_mmdit_layers=1, num_single_dit_layers=1, attention_head_dim=256, num_attention_heads=1, joint_attention_dim=64,
                    caption_projection_dim=256, pos_embed_max_size=256,
                )
            ),
            vae=stirred(
                classes.AutoencoderKL(
                    block_out_channels=(32, 32, 32, 64), layers_per_block=1, latent_channels=4, scaling_factor=0.13025,
                    down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
                )
            ),
            text_encoder=stirred(others.UMT5EncoderModel(config)),
            tokenizer=words(),
            scheduler=classes.FlowMatchEulerDiscreteScheduler(shift=1.73),
        )  # fmt: skip


def published() -> dict[str, Tensor]:
    """The transformer in the original layout, tensor by tensor."""
    state = dict(pipeline().transformer.state_dict())
    sizes = aura_flow.AuraFlowSizes(4, 4, 256, 1, 1, 64, 256)
    out = {theirs: state[ours_called] for ours_called, theirs in aura_flow.WHOLE}
    out["modF.1.weight"] = torch.cat(state["norm_out.linear.weight"].chunk(2)[::-1])
    for ours_called, theirs in (*aura_flow.EMBEDDERS, *aura_flow.modules(sizes)):
        out |= {
            f"{theirs}.{suffix}": state[f"{ours_called}.{suffix}"] for suffix in ("weight", "bias") if f"{ours_called}.{suffix}" in state
        }
    return {name: tensor.clone() for name, tensor in out.items()}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    library = library_at(tmp_path_factory.mktemp("data"))
    models, pipe = library.folders.models, pipeline()
    text = {name: tensor.clone() for name, tensor in pipe.text_encoder.state_dict().items()}
    text["spiece_model"] = torch.frombuffer(bytearray(piece_model(LLAMA_MARKS, prefixed=True)), dtype=torch.uint8).clone()
    for folder, tensors in (("diffusion_models", published()), ("text_encoders", text)):
        (models / folder).mkdir(parents=True, exist_ok=True)
        save_file(tensors, models / folder / NAME)
    pipe.save_pretrained(models / "diffusers/whole")
    return library


def test_diffusers_reads_the_original_layout_as_we_write_it_here() -> None:
    from diffusers.loaders import single_file_utils

    convert: Any = single_file_utils.convert_auraflow_transformer_checkpoint_to_diffusers
    state = pipeline().transformer.state_dict()
    read = convert(published())
    assert read.keys() == state.keys() and all(torch.equal(read[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("kind", ["files", "folder"])
def test_prompts_and_four_steps_of_euler_equal_diffusers(library: ModelLibrary, kind: str) -> None:
    if kind == "folder":
        model, clip, vae = library.load_checkpoint("whole", "diffusers")
        assert vae is not None and vae.latent_channels == 4
    else:
        model, clip = library.load_diffusion_model(NAME), library.load_text_encoder((NAME,), "stable_diffusion")
    assert clip is not None and model.family == "aura_flow"
    pipe = pipeline()
    noise = torch.randn(1, 4, 8, 16, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        told, _, nothing, _ = pipe.encode_prompt(PROMPT, "blurry")
        expected = pipe(
            PROMPT, negative_prompt="blurry", height=64, width=128, num_inference_steps=4, guidance_scale=3.0, latents=noise, output_type="latent"
        ).images  # fmt: skip
    encoded, negative = clip.encode(PROMPT), clip.encode("blurry")
    torch.testing.assert_close(encoded.embedding, told, atol=1e-5, rtol=0)
    torch.testing.assert_close(negative.embedding, nothing, atol=1e-5, rtol=0)
    made = ours(model, encoded.conditioning(), negative.conditioning(), noise, pipe.scheduler.sigmas.tolist(), 3.0)
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)


def test_a_saved_denoiser_is_the_published_one(library: ModelLibrary) -> None:
    written, expected = checkpoint_state(model=library.load_diffusion_model(NAME)), published()
    assert written.keys() == {f"model.diffusion_model.{name}" for name in expected}
    assert all(torch.equal(written[f"model.diffusion_model.{name}"], tensor) for name, tensor in expected.items())
