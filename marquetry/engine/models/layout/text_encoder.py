"""CLIP text encoders (Radford et al. 2021): sizes from a header, tensors in the layouts of transformers and of OpenCLIP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from marquetry.engine.models.layout.table import Form, Piece, count, table_of_modules
from marquetry.engine.models.safetensors_file import Header

HEAD_WIDTH = 64
THIRDS: tuple[tuple[str, Form], ...] = (("q_proj", "third_0"), ("k_proj", "third_1"), ("v_proj", "third_2"))
LAYER = ("layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2", "self_attn.out_proj")
OPEN_LAYER = ("ln_1", "ln_2", "mlp.c_fc", "mlp.c_proj", "attn.out_proj")
ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")


@dataclass(frozen=True)
class TextEncoderSizes:
    """`projection` is the width of the pooled output's projection, 0 without one."""

    width: int
    layers: int
    feed_forward_width: int
    vocabulary: int
    positions: int
    projection: int = 0

    def config(self, activation: Literal["quick_gelu", "gelu"], *, end_token: int, pad_token: int) -> dict[str, Any]:
        """The arguments of transformers' CLIPTextConfig; heads are 64 wide."""
        return {
            "vocab_size": self.vocabulary,
            "hidden_size": self.width,
            "intermediate_size": self.feed_forward_width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": max(1, self.width // HEAD_WIDTH),
            "max_position_embeddings": self.positions,
            "hidden_act": activation,
            "projection_dim": self.projection or self.width,
            "bos_token_id": end_token - 1,
            "eos_token_id": end_token,
            "pad_token_id": pad_token,
        }


def transformers_sizes(header: Header, prefix: str) -> TextEncoderSizes | None:
    """The sizes of a text encoder in transformers' layout under `prefix` (up to `embeddings.`), or None."""
    tokens = header.shape(f"{prefix}embeddings.token_embedding.weight")
    positions = header.shape(f"{prefix}embeddings.position_embedding.weight")
    feed_forward = header.shape(f"{prefix}encoder.layers.0.mlp.fc1.weight")
    if len(tokens) != 2 or len(positions) != 2 or len(feed_forward) != 2:
        return None
    layers = count(header, prefix + "encoder.layers.{}.mlp.fc1.weight")
    projection = header.shape(f"{_above(prefix)}text_projection.weight")[:1]
    return TextEncoderSizes(tokens[1], layers, feed_forward[0], tokens[0], positions[0], *projection)


def open_clip_sizes(header: Header, prefix: str) -> TextEncoderSizes | None:
    """The sizes of a text encoder in OpenCLIP's layout under `prefix`, or None."""
    tokens = header.shape(f"{prefix}token_embedding.weight")
    positions = header.shape(f"{prefix}positional_embedding")
    feed_forward = header.shape(f"{prefix}transformer.resblocks.0.mlp.c_fc.weight")
    if len(tokens) != 2 or len(positions) != 2 or len(feed_forward) != 2:
        return None
    layers = count(header, prefix + "transformer.resblocks.{}.mlp.c_fc.weight")
    projection = header.shape(f"{prefix}text_projection")[1:2]
    return TextEncoderSizes(tokens[1], layers, feed_forward[0], tokens[0], positions[0], *projection)


def transformers_table(sizes: TextEncoderSizes, header: Header, prefix: str) -> dict[str, Piece]:
    """Where the network's tensors stand in a file of transformers' layout."""
    table = table_of_modules(((name, name) for name in text_modules(sizes.layers)), header, prefix)
    projection = f"{_above(prefix)}text_projection.weight"
    if projection in header:
        table["text_projection.weight"] = Piece(projection)
    return table


def open_clip_table(sizes: TextEncoderSizes, prefix: str) -> dict[str, Piece]:
    """Where they stand in a file of OpenCLIP's layout: queries, keys and values are one tensor, the projection is turned."""
    table = {
        "embeddings.token_embedding.weight": Piece(f"{prefix}token_embedding.weight"),
        "embeddings.position_embedding.weight": Piece(f"{prefix}positional_embedding"),
        "final_layer_norm.weight": Piece(f"{prefix}ln_final.weight"),
        "final_layer_norm.bias": Piece(f"{prefix}ln_final.bias"),
    }
    for layer in range(sizes.layers):
        target, source = f"encoder.layers.{layer}", f"{prefix}transformer.resblocks.{layer}"
        for suffix in ("weight", "bias"):
            for ours, theirs in zip(LAYER, OPEN_LAYER, strict=True):
                table[f"{target}.{ours}.{suffix}"] = Piece(f"{source}.{theirs}.{suffix}")
            for name, form in THIRDS:
                table[f"{target}.self_attn.{name}.{suffix}"] = Piece(f"{source}.attn.in_proj_{suffix}", form)
    if sizes.projection:
        table["text_projection.weight"] = Piece(f"{prefix}text_projection", "transposed")
    return table


def text_modules(layers: int) -> Iterator[str]:
    """Every module with weights, as transformers' CLIPTextModel names it."""
    yield from ("embeddings.token_embedding", "embeddings.position_embedding", "final_layer_norm")
    for layer in range(layers):
        for name in (*LAYER, *ATTENTION):
            yield f"encoder.layers.{layer}.{name}"


def _above(prefix: str) -> str:
    return prefix.removesuffix("text_model.")
