"""Lumina-Image 2.0 against diffusers' own pipeline on the same tiny weights."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.models.layout import lumina2
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.models.save import checkpoint_state
from marquetry.engine.models.text.own_vocabulary import sentence_piece
from tests.engine.models.families.tiny import flux_autoencoder, library_at, ours, seeded, stirred
from tests.engine.models.sentence_pieces import PIECES, piece_model

SYSTEM, PROMPT = "be kind", "a red cat, déjà vu"
NAME = "lumina2.safetensors"


def words() -> Any:
    """A tokenizer of transformers on the same pieces, for the pipeline."""
    import transformers

    classes: Any = transformers
    return classes.PreTrainedTokenizerFast(tokenizer_object=sentence_piece(piece_model()), pad_token="<pad>", bos_token="<bos>")


@functools.cache
def pipeline() -> Any:
    import diffusers
    import transformers

    classes: Any = diffusers
    others: Any = transformers
    with seeded(19):
        config = others.Gemma2Config(
            vocab_size=len(PIECES), hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=2, num_key_value_heads=1, head_dim=256,
            query_pre_attn_scalar=256, rms_norm_eps=1e-6,
        )  # fmt: skip
        return classes.Lumina2Pipeline(
            transformer=stirred(
                classes.Lumina2Transformer2DModel(
                    hidden_size=96, num_layers=2, num_refiner_layers=1, num_attention_heads=4, num_kv_heads=2, multiple_of=32, axes_dim_rope=(8, 8, 8),
                    cap_feat_dim=64,
                )
            ),
            vae=flux_autoencoder(),
            text_encoder=stirred(others.Gemma2Model(config)),
            tokenizer=words(),
            scheduler=classes.FlowMatchEulerDiscreteScheduler(shift=6.0),
        )  # fmt: skip


def published(network: Any = None) -> dict[str, Tensor]:
    """The transformer in the original layout, tensor by tensor."""
    state = dict((network or pipeline().transformer).state_dict())
    moved = (*lumina2.EMBEDDERS, *lumina2.BLOCK, *lumina2.MODULATED)
    out: dict[str, Tensor] = {"norm_final.weight": torch.ones(96)}
    for name, tensor in state.items():
        if ".to_k." in name or ".to_v." in name:
            continue
        if ".to_q." in name:
            out[name.replace("attn.to_q", "attention.qkv")] = torch.cat([state[name.replace("to_q", f"to_{letter}")] for letter in "qkv"])
            continue
        module, _, suffix = name.rpartition(".")
        names = lumina2.PLAIN if name.startswith("context_refiner") and module.endswith("norm1") and "ffn" not in module else moved
        ours_called, theirs = max((pair for pair in names if f".{module}".endswith(f".{pair[0]}")), key=lambda pair: len(pair[0]))
        out[f"{module.removesuffix(ours_called)}{theirs}.{suffix}"] = tensor
    return {name: tensor.clone() for name, tensor in out.items()}


def checkpoint() -> dict[str, Tensor]:
    """All in one file, the vocabulary too."""
    text = {f"text_encoders.gemma2_2b.transformer.model.{name}": tensor for name, tensor in pipeline().text_encoder.state_dict().items()}
    parts = {f"model.diffusion_model.{name}": tensor for name, tensor in published().items()} | text
    pieces = torch.frombuffer(bytearray(piece_model()), dtype=torch.uint8)
    return {name: tensor.clone() for name, tensor in parts.items()} | {"text_encoders.gemma2_2b.spiece_model": pieces}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    library = library_at(tmp_path_factory.mktemp("data"))
    save_file(checkpoint(), library.folders.models / "checkpoints" / NAME)
    pipeline().save_pretrained(library.folders.models / "diffusers/whole")
    return library


def test_diffusers_reads_the_original_layout_as_we_write_it_here() -> None:
    from diffusers.loaders import single_file_utils

    convert: Any = single_file_utils.convert_lumina2_to_diffusers
    state, written = pipeline().transformer.state_dict(), published()
    for name in (name for name in written if "qkv" in name):  # cut at the published widths there
        written[name] = torch.zeros(2304 + 2 * 768, 1)
    read = convert(written)
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in state.items() if ".to_" not in name or "to_out" in name)


@pytest.mark.parametrize("kind", ["checkpoint", "folder"])
def test_prompts_and_four_steps_of_euler_equal_diffusers(library: ModelLibrary, kind: str) -> None:
    model, clip, _ = library.load_checkpoint("whole", "diffusers") if kind == "folder" else library.load_checkpoint(NAME)
    assert clip is not None and model.family == "lumina2"
    pipe = pipeline()
    noise = torch.randn(1, 16, 8, 16, generator=torch.Generator().manual_seed(5))
    given = {"system_prompt": SYSTEM, "negative_prompt": "blurry", "max_sequence_length": 64}
    with torch.no_grad():
        told, mask, nothing, _ = pipe.encode_prompt(PROMPT, **given)
        expected = pipe(
            PROMPT, height=64, width=128, num_inference_steps=4, guidance_scale=3.0, latents=noise, output_type="latent", cfg_normalization=False, **given
        ).images  # fmt: skip
    encoded, negative = clip.encode(f"{SYSTEM} <Prompt Start> {PROMPT}"), clip.encode("blurry")
    seen, least = encoded.embedding.shape[1], negative.embedding.shape[1]
    assert int(mask.sum()) == seen < 64
    torch.testing.assert_close(encoded.embedding, told[:, :seen], atol=1e-5, rtol=0)
    torch.testing.assert_close(negative.embedding, nothing[:, :least], atol=1e-5, rtol=0)
    made = ours(model, encoded.conditioning(), negative.conditioning(), noise, pipe.scheduler.sigmas.tolist(), 3.0)
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)


def test_a_saved_denoiser_is_the_published_one(library: ModelLibrary) -> None:
    written, expected = checkpoint_state(model=library.load_checkpoint(NAME).model), published()
    expected.pop("norm_final.weight")  # nothing reads it
    assert written.keys() == {f"model.diffusion_model.{name}" for name in expected}
    assert all(torch.equal(written[f"model.diffusion_model.{name}"], tensor) for name, tensor in expected.items())


def test_a_file_without_its_vocabulary_says_where_to_put_it(tmp_path: Path) -> None:
    library = library_at(tmp_path)
    folder = library.folders.models / "text_encoders"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {f"model.{name}": tensor.clone() for name, tensor in pipeline().text_encoder.state_dict().items()}, folder / "gemma.safetensors"
    )
    clip = library.load_text_encoder(("gemma.safetensors",), "lumina2")
    with pytest.raises(ModelFormatError, match=r"gemma\.tokenizer\.model"):
        clip.encode(PROMPT)
    (folder / "gemma.tokenizer.model").write_bytes(piece_model())
    assert clip.encode(PROMPT).embedding.shape[2] == 64
