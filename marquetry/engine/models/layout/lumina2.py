"""The transformer of Lumina-Image 2.0 (Qin et al. 2025): sizes from a header, tensors in the original layout beside diffusers'."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from marquetry.engine.models.layout.table import Piece, count, table_of_modules
from marquetry.engine.models.safetensors_file import Header

EMBEDDERS = (
    ("x_embedder", "x_embedder"),
    ("time_caption_embed.timestep_embedder.linear_1", "t_embedder.mlp.0"),
    ("time_caption_embed.timestep_embedder.linear_2", "t_embedder.mlp.2"),
    ("time_caption_embed.caption_embedder.0", "cap_embedder.0"),
    ("time_caption_embed.caption_embedder.1", "cap_embedder.1"),
    ("norm_out.linear_1", "final_layer.adaLN_modulation.1"),
    ("norm_out.linear_2", "final_layer.linear"),
)
BLOCK = (
    ("attn.to_out.0", "attention.out"), ("attn.norm_q", "attention.q_norm"), ("attn.norm_k", "attention.k_norm"),
    ("feed_forward.linear_1", "feed_forward.w1"), ("feed_forward.linear_2", "feed_forward.w2"), ("feed_forward.linear_3", "feed_forward.w3"),
    ("norm2", "attention_norm2"), ("ffn_norm1", "ffn_norm1"), ("ffn_norm2", "ffn_norm2"),
)  # fmt: skip
MODULATED = (("norm1.norm", "attention_norm1"), ("norm1.linear", "adaLN_modulation.1"))
PLAIN = (("norm1", "attention_norm1"),)
AXES_TOKENS = (4096, 512, 512)  # places that the network knows: of words, rows and columns


@dataclass(frozen=True)
class Lumina2Sizes:
    """`channels` are those of a latent; `key_heads` are shared by several heads each."""

    channels: int
    width: int
    head_width: int
    key_heads: int
    layers: int
    refiners: int
    context_width: int
    feed_forward: int

    def config(self) -> dict[str, Any]:
        """The arguments of diffusers' Lumina2Transformer2DModel; with so small a multiplier, inner widths are just `multiple_of`."""
        return {
            "in_channels": self.channels,
            "hidden_size": self.width,
            "num_layers": self.layers,
            "num_refiner_layers": self.refiners,
            "num_attention_heads": self.width // self.head_width,
            "num_kv_heads": self.key_heads,
            "multiple_of": self.feed_forward,
            "ffn_dim_multiplier": 0.5 / self.width,
            "axes_dim_rope": (self.head_width // 3,) * 3,
            "axes_lens": AXES_TOKENS,
            "cap_feat_dim": self.context_width,
        }


def original_sizes(header: Header, prefix: str) -> Lumina2Sizes | None:
    """The sizes of a transformer in the original layout under `prefix`, or None."""
    head = header.width(f"{prefix}layers.0.attention.q_norm.weight")
    joined, width = header.width(f"{prefix}layers.0.attention.qkv.weight"), header.width(f"{prefix}x_embedder.weight")
    keys = (joined - width) // 2
    if f"{prefix}layers.0.adaLN_modulation.1.weight" not in header:
        return None
    return _sizes(header, prefix, head, keys, "cap_embedder.1", "feed_forward.w1", "attention.out")


def diffusers_sizes(header: Header, prefix: str) -> Lumina2Sizes | None:
    """As `original_sizes`, in diffusers' layout."""
    head, keys = header.width(f"{prefix}layers.0.attn.norm_q.weight"), header.width(f"{prefix}layers.0.attn.to_k.weight")
    return _sizes(header, prefix, head, keys, "time_caption_embed.caption_embedder.1", "feed_forward.linear_1", "attn.to_out.0")


def original_table(sizes: Lumina2Sizes, header: Header, prefix: str) -> dict[str, Piece]:
    """Where the network's tensors stand in a file of the original layout."""
    table = table_of_modules(EMBEDDERS, header, prefix)
    keys = sizes.key_heads * sizes.head_width
    cuts = (0, sizes.width, sizes.width + keys, sizes.width + 2 * keys)
    for block, names in _blocks(sizes):
        part = table_of_modules((*BLOCK, *names), header, f"{prefix}{block}")
        for number, letter in enumerate("qkv"):
            part[f"attn.to_{letter}.weight"] = Piece(f"{prefix}{block}attention.qkv.weight", "rows", (cuts[number], cuts[number + 1]))
        table |= {f"{block}{name}": piece for name, piece in part.items()}
    return table


def _blocks(sizes: Lumina2Sizes) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    for stack, number, names in (
        ("noise_refiner", sizes.refiners, MODULATED),
        ("context_refiner", sizes.refiners, PLAIN),
        ("layers", sizes.layers, MODULATED),
    ):
        yield from ((f"{stack}.{layer}.", names) for layer in range(number))


def _sizes(header: Header, prefix: str, head: int, keys: int, words: str, inner: str, out: str) -> Lumina2Sizes | None:
    patches, context = header.shape(f"{prefix}x_embedder.weight"), header.shape(f"{prefix}{words}.weight")
    if len(patches) != 2 or len(context) != 2 or not head or keys <= 0 or f"{prefix}x_pad_token" in header:
        return None
    layers, refiners = (count(header, f"{prefix}{stack}.{{}}.{out}.weight") for stack in ("layers", "noise_refiner"))
    width = header.width(f"{prefix}layers.0.{inner}.weight")
    return Lumina2Sizes(patches[1] // 4, patches[0], head, keys // head, layers, refiners, context[1], width)
