"""The transformer of Z-Image (Cai et al. 2025): sizes from a header, tensors in the original layout beside diffusers'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from marquetry.engine.models.layout.table import Piece, count, thirds
from marquetry.engine.models.safetensors_file import Header

PATCH = "2-1"  # of 2 x 2 pixels in one frame, as diffusers names it
STACKS = ("noise_refiner", "context_refiner", "layers")
MOVED = (
    ("attention.to_out.0", "attention.out"),
    ("attention.norm_q", "attention.q_norm"),
    ("attention.norm_k", "attention.k_norm"),
)
OUTER = ((f"all_x_embedder.{PATCH}.", "x_embedder."), (f"all_final_layer.{PATCH}.", "final_layer."))
ENDS = (
    (f"all_x_embedder.{PATCH}", "x_embedder"),
    (f"all_final_layer.{PATCH}.linear", "final_layer.linear"),
    (f"all_final_layer.{PATCH}.adaLN_modulation.1", "final_layer.adaLN_modulation.1"),
)
UNUSED = "norm_final."


@dataclass(frozen=True)
class ZImageSizes:
    """`channels` are those of a latent."""

    channels: int
    width: int
    head_width: int
    layers: int
    refiners: int
    context_width: int

    def config(self) -> dict[str, Any]:
        """The arguments of diffusers' ZImageTransformer2DModel. Axes share a head 2 : 3 : 3, as in the published one of 128."""
        heads, turned = self.width // self.head_width, self.head_width * 3 // 8
        return {
            "in_channels": self.channels,
            "dim": self.width,
            "n_layers": self.layers,
            "n_refiner_layers": self.refiners,
            "n_heads": heads,
            "n_kv_heads": heads,
            "cap_feat_dim": self.context_width,
            "axes_dims": [self.head_width - 2 * turned, turned, turned],
            "axes_lens": [1536, 512, 512],
        }


def original_sizes(header: Header, prefix: str) -> ZImageSizes | None:
    """The sizes of a transformer in the original layout under `prefix`, or None."""
    return _sizes(header, prefix, "x_embedder.", "attention.q_norm", "attention.out")


def diffusers_sizes(header: Header, prefix: str) -> ZImageSizes | None:
    """As `original_sizes`, in diffusers' layout."""
    return _sizes(header, prefix, f"all_x_embedder.{PATCH}.", "attention.norm_q", "attention.to_out.0")


def original_table(header: Header, prefix: str) -> dict[str, Piece]:
    """Where the network's tensors stand in a file of the original layout."""
    table: dict[str, Piece] = {}
    for name in header:
        inner = name.removeprefix(prefix)
        if not name.startswith(prefix) or inner.startswith(UNUSED):
            continue
        module = inner.rpartition(".")[0]
        if module.endswith("attention.qkv"):
            above = module.removesuffix("qkv")
            table |= thirds((f"{above}to_q", f"{above}to_k", f"{above}to_v"), module, header, prefix)
            continue
        table[_renamed(inner)] = Piece(name)
    return table


def _renamed(name: str) -> str:
    for ours, theirs in OUTER:
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    module, _, suffix = name.rpartition(".")
    for ours, theirs in MOVED:
        if module.endswith(f".{theirs}"):
            return f"{module.removesuffix(theirs)}{ours}.{suffix}"
    return name


def _sizes(header: Header, prefix: str, first: str, norm: str, out: str) -> ZImageSizes | None:
    patches, words = header.shape(f"{prefix}{first}weight"), header.shape(f"{prefix}cap_embedder.1.weight")
    head, pad = header.width(f"{prefix}layers.0.{norm}.weight"), header.shape(f"{prefix}x_pad_token")
    if len(patches) != 2 or len(words) != 2 or not head or not pad:
        return None
    layers, refiners, _ = (count(header, f"{prefix}{stack}.{{}}.{out}.weight") for stack in ("layers", "noise_refiner", "context_refiner"))
    return ZImageSizes(patches[1] // 4, patches[0], head, layers, refiners, words[1])
