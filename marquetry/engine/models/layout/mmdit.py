"""The transformer of Stable Diffusion 3 (Esser et al. 2024): sizes from a header, tensors in the original layout beside diffusers'."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from marquetry.engine.models.layout.table import Piece, count, same_names, table_of_modules, thirds
from marquetry.engine.models.safetensors_file import Header

HEAD_WIDTH = 64
EMBEDDERS = (
    ("pos_embed.proj", "x_embedder.proj"),
    ("time_text_embed.timestep_embedder.linear_1", "t_embedder.mlp.0"),
    ("time_text_embed.timestep_embedder.linear_2", "t_embedder.mlp.2"),
    ("time_text_embed.text_embedder.linear_1", "y_embedder.mlp.0"),
    ("time_text_embed.text_embedder.linear_2", "y_embedder.mlp.2"),
    ("context_embedder", "context_embedder"),
    ("proj_out", "final_layer.linear"),
)
PICTURE = (("attn.to_out.0", "attn.proj"), ("norm1.linear", "adaLN_modulation.1"), ("ff.net.0.proj", "mlp.fc1"), ("ff.net.2", "mlp.fc2"))
WORDS = (("attn.to_add_out", "attn.proj"), ("ff_context.net.0.proj", "mlp.fc1"), ("ff_context.net.2", "mlp.fc2"))
NORMS = (("attn.norm_q", "x_block.attn.ln_q"), ("attn.norm_k", "x_block.attn.ln_k"), ("attn.norm_added_q", "context_block.attn.ln_q"),
         ("attn.norm_added_k", "context_block.attn.ln_k"), ("attn2.norm_q", "x_block.attn2.ln_q"), ("attn2.norm_k", "x_block.attn2.ln_k"))  # fmt: skip


@dataclass(frozen=True)
class MMDiTSizes:
    """The sizes that make one transformer of this kind differ from another; `dual` are the layers with a second attention."""

    channels: int
    out_channels: int
    patch: int
    width: int
    layers: int
    context_width: int
    pooled_width: int
    positions: int
    dual: tuple[int, ...]
    normed: bool

    def config(self) -> dict[str, Any]:
        """The arguments of diffusers' SD3Transformer2DModel."""
        side = math.isqrt(self.positions)
        return {
            "sample_size": side * self.patch,
            "patch_size": self.patch,
            "in_channels": self.channels,
            "out_channels": self.out_channels,
            "num_layers": self.layers,
            "attention_head_dim": HEAD_WIDTH,
            "num_attention_heads": self.width // HEAD_WIDTH,
            "caption_projection_dim": self.width,
            "joint_attention_dim": self.context_width,
            "pooled_projection_dim": self.pooled_width,
            "pos_embed_max_size": side,
            "dual_attention_layers": self.dual,
            "qk_norm": "rms_norm" if self.normed else None,
        }


def original_sizes(header: Header, prefix: str) -> MMDiTSizes | None:
    """The sizes of a transformer in the original layout under `prefix`, or None."""
    return _sizes(
        header, prefix, patches="x_embedder.proj", text="y_embedder.mlp.0", last="final_layer.linear", positions="pos_embed",
        block="joint_blocks.{}.x_block.attn.proj.weight", second="joint_blocks.{}.x_block.attn2.proj.weight", norm="joint_blocks.0.x_block.attn.ln_q.weight",
    )  # fmt: skip


def diffusers_sizes(header: Header, prefix: str) -> MMDiTSizes | None:
    """As `original_sizes`, in diffusers' layout."""
    return _sizes(
        header, prefix, patches="pos_embed.proj", text="time_text_embed.text_embedder.linear_1", last="proj_out", positions="pos_embed.pos_embed",
        block="transformer_blocks.{}.attn.add_q_proj.weight", second="transformer_blocks.{}.attn2.to_q.weight", norm="transformer_blocks.0.attn.norm_q.weight",
    )  # fmt: skip


def original_table(sizes: MMDiTSizes, header: Header, prefix: str) -> dict[str, Piece]:
    """Where the network's tensors stand in a file of the original layout."""
    table = table_of_modules(EMBEDDERS, header, prefix)
    table["pos_embed.pos_embed"] = Piece(f"{prefix}pos_embed")
    table |= table_of_modules((("norm_out.linear", "final_layer.adaLN_modulation.1"),), header, prefix, "swapped")
    for layer in range(sizes.layers):
        ours, theirs = f"transformer_blocks.{layer}.", f"{prefix}joint_blocks.{layer}."
        part = table_of_modules(PICTURE, header, f"{theirs}x_block.") | table_of_modules(WORDS, header, f"{theirs}context_block.")
        part |= table_of_modules((("attn2.to_out.0", "x_block.attn2.proj"), *NORMS), header, theirs)
        part |= thirds(("attn.to_q", "attn.to_k", "attn.to_v"), "x_block.attn.qkv", header, theirs)
        part |= thirds(("attn2.to_q", "attn2.to_k", "attn2.to_v"), "x_block.attn2.qkv", header, theirs)
        part |= thirds(("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"), "context_block.attn.qkv", header, theirs)
        form: Any = "swapped" if layer == sizes.layers - 1 else "same"  # the last one's words have only shift and scale
        part |= table_of_modules((("norm1_context.linear", "context_block.adaLN_modulation.1"),), header, theirs, form)
        table |= {ours + name: piece for name, piece in part.items()}
    return table


def diffusers_table(header: Header, prefix: str) -> dict[str, Piece]:
    """The same for diffusers' layout."""
    return same_names(header, prefix)


def _sizes(
    header: Header, prefix: str, *, patches: str, text: str, last: str, positions: str, block: str, second: str, norm: str
) -> MMDiTSizes | None:
    first, table = header.shape(f"{prefix}{patches}.weight"), header.shape(f"{prefix}{positions}")
    words, pooled = header.shape(f"{prefix}context_embedder.weight"), header.shape(f"{prefix}{text}.weight")
    out = header.shape(f"{prefix}{last}.weight")
    layers = count(header, prefix + block)
    if len(first) != 4 or len(table) != 3 or len(words) != 2 or len(pooled) != 2 or not out or not layers:
        return None
    dual = tuple(layer for layer in range(layers) if prefix + second.format(layer) in header)
    return MMDiTSizes(
        first[1], out[0] // first[2] ** 2, first[2], first[0], layers, words[1], pooled[1], table[1], dual, f"{prefix}{norm}" in header
    )
