"""The transformer of Chroma (Lodestone Rock 2025): Flux's blocks, modulated by one small network. Sizes from a header, tensors in both layouts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from marquetry.engine.models.layout import flux
from marquetry.engine.models.layout.table import Piece, count, table_of_modules
from marquetry.engine.models.safetensors_file import Header

GUIDE = "distilled_guidance_layer"


@dataclass(frozen=True)
class ChromaSizes:
    """`blocks` are those of Flux; `guide_width` and `guide_layers` are the small network's, `guide_channels` what it is told."""

    blocks: flux.FluxSizes
    guide_channels: int
    guide_width: int
    guide_layers: int

    def config(self) -> dict[str, Any]:
        """The arguments of diffusers' ChromaTransformer2DModel."""
        unknown = ("pooled_projection_dim", "guidance_embeds")
        return {name: value for name, value in self.blocks.config().items() if name not in unknown} | {
            "approximator_num_channels": self.guide_channels,
            "approximator_hidden_dim": self.guide_width,
            "approximator_layers": self.guide_layers,
        }


def original_sizes(header: Header, prefix: str) -> ChromaSizes | None:
    """The sizes of a transformer in the original layout under `prefix`, or None."""
    return _sizes(
        header, prefix, first="img_in", last="final_layer.linear", words="txt_in", guide="in_layer",
        norms=("double_blocks.0.img_attn.norm.query_norm.scale", "double_blocks.0.img_attn.norm.query_norm.weight"),
        double="double_blocks.{}.img_attn.proj.weight", single="single_blocks.{}.linear1.weight",
    )  # fmt: skip


def diffusers_sizes(header: Header, prefix: str) -> ChromaSizes | None:
    """As `original_sizes`, in diffusers' layout."""
    return _sizes(
        header, prefix, first="x_embedder", last="proj_out", words="context_embedder", guide="linear_1",
        norms=("transformer_blocks.0.attn.norm_q.weight",),
        double="transformer_blocks.{}.attn.add_q_proj.weight", single="single_transformer_blocks.{}.proj_mlp.weight",
    )  # fmt: skip


def original_table(sizes: ChromaSizes, header: Header, prefix: str) -> dict[str, Piece]:
    """Where the network's tensors stand in a file of the original layout."""
    table = flux.original_table(sizes.blocks, header, prefix)
    table |= table_of_modules(((f"{GUIDE}.{end}", f"{GUIDE}.{end}") for end in ("in_proj", "out_proj")), header, prefix)
    for layer in range(sizes.guide_layers):
        names = (("linear_1", "in_layer"), ("linear_2", "out_layer"))
        place = f"{GUIDE}.layers.{layer}."
        table |= table_of_modules(((place + ours, place + theirs) for ours, theirs in names), header, prefix)
        norm = f"{GUIDE}.norms.{layer}"
        source = next((f"{prefix}{norm}.{end}" for end in ("scale", "weight") if f"{prefix}{norm}.{end}" in header), None)
        if source is not None:
            table[f"{norm}.weight"] = Piece(source)
    return table


def _sizes(
    header: Header, prefix: str, *, first: str, last: str, words: str, guide: str, norms: tuple[str, ...], double: str, single: str
) -> ChromaSizes | None:
    patches, context = header.shape(f"{prefix}{first}.weight"), header.shape(f"{prefix}{words}.weight")
    told, out = header.shape(f"{prefix}{GUIDE}.in_proj.weight"), header.width(f"{prefix}{last}.weight")
    head = next((header.width(prefix + name) for name in norms if prefix + name in header), 0)
    doubles, singles = count(header, prefix + double), count(header, prefix + single)
    layers = count(header, f"{prefix}{GUIDE}.layers.{{}}.{guide}.weight")
    if len(patches) != 2 or len(context) != 2 or len(told) != 2 or not out or not head or not doubles or not layers:
        return None
    blocks = flux.FluxSizes(patches[1], out, patches[0], head, doubles, singles, context[1], 0, False)
    return ChromaSizes(blocks, told[1], told[0], layers)
