"""The autoencoder of Wan 2.1 and Qwen-Image: sizes from a header, modules in the original layout beside diffusers'."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from marquetry.engine.models.layout.table import Piece
from marquetry.engine.models.safetensors_file import Header

PARTS = ("weight", "bias", "gamma")
RESIDUAL = (
    ("norm1", "residual.0"),
    ("conv1", "residual.2"),
    ("norm2", "residual.3"),
    ("conv2", "residual.6"),
    ("conv_shortcut", "shortcut"),
)
RESAMPLING = (("resample.1", "resample.1"), ("time_conv", "time_conv"))
ATTENTION = (("norm", "norm"), ("to_qkv", "to_qkv"), ("proj", "proj"))
ENDS = (("conv_in", "conv1"), ("norm_out", "head.0"), ("conv_out", "head.2"))


@dataclass(frozen=True)
class CausalSizes:
    """`multiples` of `base` are the channels from the finest level down; after each level but the last, sides are halved."""

    base: int
    latent_channels: int
    multiples: tuple[int, ...]
    blocks: int
    temporal: tuple[bool, ...]  # levels after which time is halved too

    def config(self) -> dict[str, Any]:
        """The arguments of diffusers' AutoencoderKLQwenImage."""
        return {
            "base_dim": self.base,
            "z_dim": self.latent_channels,
            "dim_mult": list(self.multiples),
            "num_res_blocks": self.blocks,
            "temperal_downsample": list(self.temporal),
        }


def causal_sizes(header: Header, prefix: str) -> tuple[CausalSizes, str] | None:
    """The sizes of an autoencoder under `prefix` and its layout, or None."""
    for layout, first, down, block in (
        ("original", "conv1", "encoder.downsamples", "residual.2"),
        ("diffusers", "conv_in", "encoder.down_blocks", "conv1"),
    ):
        start, latent = header.shape(f"{prefix}encoder.{first}.weight"), header.shape(f"{prefix}decoder.{first}.weight")
        if len(start) != 5 or len(latent) != 5:
            continue
        levels, temporal = _levels(header, f"{prefix}{down}", block)
        if not levels or not levels[0] or any(width % start[0] for level in levels for width in level):
            continue
        multiples = tuple(level[-1] // start[0] for level in levels if level)
        return CausalSizes(start[0], latent[1], multiples, len(levels[0]), tuple(temporal)), layout
    return None


def original_table(sizes: CausalSizes, names: Any, prefix: str) -> dict[str, Piece]:
    """Where the network's tensors stand in a file of the original layout; `names` are the file's."""
    return {
        f"{target}.{part}": Piece(f"{prefix}{source}.{part}")
        for target, source in modules(sizes)
        for part in PARTS
        if f"{prefix}{source}.{part}" in names
    }


def modules(sizes: CausalSizes) -> Iterator[tuple[str, str]]:
    """(name in diffusers, name in the original layout) of every module."""
    yield "quant_conv", "conv1"
    yield "post_quant_conv", "conv2"
    for side in ("encoder", "decoder"):
        for ours, theirs in ENDS:
            yield f"{side}.{ours}", f"{side}.{theirs}"
        for number in range(2):
            yield from _under(f"{side}.mid_block.resnets.{number}", f"{side}.middle.{2 * number}", RESIDUAL)
        yield from _under(f"{side}.mid_block.attentions.0", f"{side}.middle.1", ATTENTION)
    levels, number = len(sizes.multiples), 0
    for _ in range(levels):
        for _ in range(sizes.blocks):
            yield from _under(f"encoder.down_blocks.{number}", f"encoder.downsamples.{number}", RESIDUAL)
            number += 1
        yield from _under(f"encoder.down_blocks.{number}", f"encoder.downsamples.{number}", RESAMPLING)
        number += 1
    for level in range(levels):
        first = level * (sizes.blocks + 2)
        for number in range(sizes.blocks + 1):
            yield from _under(f"decoder.up_blocks.{level}.resnets.{number}", f"decoder.upsamples.{first + number}", RESIDUAL)
        yield from _under(f"decoder.up_blocks.{level}.upsamplers.0", f"decoder.upsamples.{first + sizes.blocks + 1}", RESAMPLING)


def _levels(header: Header, place: str, block: str) -> tuple[list[list[int]], list[bool]]:
    """The widths of the blocks of each level, and after which levels time is halved."""
    levels: list[list[int]] = [[]]
    temporal = []
    number = 0
    while True:
        width = header.width(f"{place}.{number}.{block}.weight")
        if width:
            levels[-1].append(width)
        elif f"{place}.{number}.resample.1.weight" in header:
            temporal.append(f"{place}.{number}.time_conv.weight" in header)
            levels.append([])
        else:
            return levels, temporal
        number += 1


def _under(target: str, source: str, names: tuple[tuple[str, str], ...]) -> Iterator[tuple[str, str]]:
    for ours, theirs in names:
        yield f"{target}.{ours}", f"{source}.{theirs}"
