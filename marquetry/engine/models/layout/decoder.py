"""Decoder language models (Qwen2.5, Qwen3, Gemma 2, Llama 3) as text encoders, and Qwen2.5-VL's eyes: sizes from a header.

Tensors have transformers' own names in every published file; only what they begin with differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from marquetry.engine.models.layout.table import Piece, count
from marquetry.engine.models.safetensors_file import Header

Language: TypeAlias = Literal["qwen2", "qwen3", "gemma2", "llama"]
PLACES = ("model.language_model.", "language_model.model.", "language_model.", "model.", "")  # below what a file's names begin with
EYES = ("model.visual.", "visual.")
ARCHITECTURES: Mapping[Language, str] = {
    "qwen2": "transformers:Qwen2_5_VLTextModel:Qwen2_5_VLTextConfig",
    "qwen3": "transformers:Qwen3Model:Qwen3Config",
    "gemma2": "transformers:Gemma2Model:Gemma2Config",
    "llama": "transformers:LlamaModel:LlamaConfig",
}
HEAD_WIDTHS: Mapping[Language, int] = {"qwen2": 128, "qwen3": 128, "gemma2": 256, "llama": 128}
LLAMA_3_1_ROPE = {
    "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip
OPTIONS: Mapping[Language, Mapping[str, Any]] = {
    "qwen2": {"rms_norm_eps": 1e-6, "max_position_embeddings": 128000},
    "qwen3": {"rms_norm_eps": 1e-6, "max_position_embeddings": 40960, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
    "gemma2": {"rms_norm_eps": 1e-6, "max_position_embeddings": 8192, "query_pre_attn_scalar": 256},
    "llama": {"rms_norm_eps": 1e-5, "max_position_embeddings": 131072, "rope_parameters": LLAMA_3_1_ROPE},
}
MROPE_SHARES = (16, 24, 24)  # of half a head of 128: time, rows, columns
EYE_HEAD_WIDTH = 80
EYE_PATCH = 14
FULL_ATTENTION_EVERY = 8  # layers


@dataclass(frozen=True)
class DecoderSizes:
    """`start` is what the names of its tensors begin with."""

    language: Language
    start: str
    width: int
    layers: int
    heads: int
    key_heads: int
    head_width: int
    feed_forward: int
    vocabulary: int

    def config(self) -> dict[str, Any]:
        """The arguments of transformers' configuration."""
        config: dict[str, Any] = {
            "vocab_size": self.vocabulary,
            "hidden_size": self.width,
            "intermediate_size": self.feed_forward,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_heads,
            **OPTIONS[self.language],
        }
        if self.language == "qwen2":
            shares = [share * self.head_width // 128 for share in MROPE_SHARES]
            config["rope_parameters"] = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": shares}
        else:
            config["head_dim"] = self.head_width
        return config | {"pad_token_id": None}


def decoder_sizes(header: Header, prefix: str) -> DecoderSizes | None:
    """The sizes of a language model under `prefix`, or None when there is none of a known kind."""
    for place in PLACES:
        start = prefix + place
        query, key = (header.shape(f"{start}layers.0.self_attn.{name}_proj.weight") for name in "qk")
        words = header.shape(f"{start}embed_tokens.weight")
        inner = header.width(f"{start}layers.0.mlp.gate_proj.weight")
        if len(query) != 2 or len(key) != 2 or len(words) != 2 or not inner:
            continue
        language = _language(header, f"{start}layers.0.")
        if language is None:
            return None
        head = header.width(f"{start}layers.0.self_attn.k_norm.weight") or HEAD_WIDTHS[language]
        if query[0] % head or key[0] % head or words[1] != query[1]:
            return None
        layers = count(header, start + "layers.{}.self_attn.q_proj.weight")
        return DecoderSizes(language, start, words[1], layers, query[0] // head, key[0] // head, head, inner, words[0])
    return None


def decoder_table(sizes: DecoderSizes, header: Header) -> dict[str, Piece]:
    """Where the network's tensors stand in the file."""
    own = (f"{sizes.start}layers.", f"{sizes.start}embed_tokens.", f"{sizes.start}norm.")
    return {name.removeprefix(sizes.start): Piece(name) for name in header if name.startswith(own) and "rotary_emb" not in name}


def eyes(header: Header, prefix: str) -> tuple[dict[str, Any], dict[str, Piece]] | None:
    """The arguments and the table of Qwen2.5-VL's picture encoder under `prefix`, or None."""
    for place in EYES:
        start = prefix + place
        patches, gate = header.shape(f"{start}patch_embed.proj.weight"), header.width(f"{start}blocks.0.mlp.gate_proj.weight")
        out = header.width(f"{start}merger.mlp.2.weight")
        if len(patches) != 5 or not gate or not out or patches[0] % EYE_HEAD_WIDTH:
            continue
        depth = count(header, start + "blocks.{}.attn.qkv.weight")
        config = {
            "depth": depth,
            "hidden_size": patches[0],
            "intermediate_size": gate,
            "num_heads": patches[0] // EYE_HEAD_WIDTH,
            "patch_size": patches[-1],
            "temporal_patch_size": patches[2],
            "out_hidden_size": out,
            "fullatt_block_indexes": list(range(FULL_ATTENTION_EVERY - 1, depth, FULL_ATTENTION_EVERY)),
        }
        return config, {name.removeprefix(start): Piece(name) for name in header if name.startswith(start)}
    return None


def _language(header: Header, layer: str) -> Language | None:
    normed, gemma = f"{layer}self_attn.q_norm.weight" in header, f"{layer}pre_feedforward_layernorm.weight" in header
    if gemma:
        return None if normed else "gemma2"
    if normed:
        return "qwen3"
    return "qwen2" if f"{layer}self_attn.q_proj.bias" in header else "llama"
