"""T5's encoder: its sizes from a header, and its tensors, whose names are transformers' own in every published file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from marquetry.engine.models.layout.table import Piece, count
from marquetry.engine.models.safetensors_file import Header

BLOCK = "encoder.block.{}.layer.0.SelfAttention.k.weight"


@dataclass(frozen=True)
class T5Sizes:
    """The sizes that make one encoder differ from another."""

    width: int
    layers: int
    heads: int
    head_width: int
    feed_forward: int
    vocabulary: int
    buckets: int
    gated: bool
    biases: int  # layers with a relative bias of their own: 1 in T5, all of them in UMT5

    def config(self) -> dict[str, Any]:
        """The arguments of transformers' T5Config or UMT5Config."""
        return {
            "d_model": self.width,
            "d_kv": self.head_width,
            "d_ff": self.feed_forward,
            "num_layers": self.layers,
            "num_heads": self.heads,
            "vocab_size": self.vocabulary,
            "relative_attention_num_buckets": self.buckets,
            "feed_forward_proj": "gated-gelu" if self.gated else "relu",
            "dropout_rate": 0.0,
        }


def t5_sizes(header: Header, prefix: str) -> T5Sizes | None:
    """The sizes of an encoder under `prefix`, or None when there is none."""
    words = header.shape(f"{prefix}shared.weight") or header.shape(f"{prefix}encoder.embed_tokens.weight")
    bias = header.shape(f"{prefix}encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight")
    key = header.shape(prefix + BLOCK.format(0))
    if len(words) != 2 or len(bias) != 2 or len(key) != 2 or bias[1] == 0:
        return None
    layers = count(header, prefix + BLOCK)
    gated = f"{prefix}encoder.block.0.layer.1.DenseReluDense.wi_0.weight" in header
    inner = header.shape(f"{prefix}encoder.block.0.layer.1.DenseReluDense.{'wi_0' if gated else 'wi'}.weight")
    if not inner:
        return None
    own = sum(f"{prefix}encoder.block.{layer}.layer.0.SelfAttention.relative_attention_bias.weight" in header for layer in range(layers))
    return T5Sizes(words[1], layers, bias[1], key[0] // bias[1], inner[0], words[0], bias[0], gated, own)


def t5_table(header: Header, prefix: str) -> dict[str, Piece]:
    """Where the network's tensors stand in the file; the embedding stands once there and twice in the network."""
    words = f"{prefix}shared.weight" if f"{prefix}shared.weight" in header else f"{prefix}encoder.embed_tokens.weight"
    table = {
        name.removeprefix(prefix): Piece(name) for name in header if name.startswith((f"{prefix}encoder.block.", f"{prefix}encoder.final"))
    }
    return {**table, "shared.weight": Piece(words), "encoder.embed_tokens.weight": Piece(words)}
