"""ControlNets of the UNet families (Zhang et al. 2023): sizes from a header, modules in the first published layout beside diffusers'."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from marquetry.engine.models.layout import unet
from marquetry.engine.models.layout.table import Table, count, same_names, table_of_modules
from marquetry.engine.models.layout.unet import UNetSizes, unet_modules
from marquetry.engine.models.safetensors_file import Header

HINT = "input_hint_block.{}.weight"
SECOND_HALF = ("up_blocks.", "conv_norm_out", "conv_out")
UNET_ONLY = ("out_channels", "up_block_types", "sample_size")


@dataclass(frozen=True)
class ControlNetSizes:
    """The half of a UNet, and the reader of the picture that steers: its channels from the finest level on."""

    unet: UNetSizes
    hint_channels: int
    reader: tuple[int, ...]

    def config(self, attention_heads: int | tuple[int, ...]) -> dict[str, Any]:
        """The arguments of diffusers' ControlNetModel."""
        half = {key: value for key, value in self.unet.config(attention_heads).items() if key not in UNET_ONLY}
        if not self.unet.middle_depth:
            half |= {"mid_block_type": "UNetMidBlock2D", "cross_attention_dim": 1}
        return half | {"conditioning_channels": self.hint_channels, "conditioning_embedding_out_channels": self.reader}


def original_sizes(header: Header, prefix: str) -> ControlNetSizes | None:
    """The sizes of a ControlNet in the original layout under `prefix`, or None."""
    if f"{prefix}zero_convs.0.0.weight" not in header:
        return None
    half = unet.original_sizes(header, prefix, half=True)
    convolutions = hint_convolutions(header, prefix)
    shapes = [header.shape(f"{prefix}{HINT.format(2 * number)}") for number in range(convolutions)]
    return None if half is None or convolutions < 2 else ControlNetSizes(half, shapes[0][1], _reader(shapes[:-1]))


def diffusers_sizes(header: Header, prefix: str) -> ControlNetSizes | None:
    """The same for diffusers' layout."""
    reader = f"{prefix}controlnet_cond_embedding."
    first = header.shape(f"{reader}conv_in.weight")
    half = unet.diffusers_sizes(header, prefix, half=True)
    if half is None or len(first) != 4:
        return None
    shapes = [first, *(header.shape(f"{reader}blocks.{number}.weight") for number in range(count(header, reader + "blocks.{}.weight")))]
    return ControlNetSizes(half, first[1], _reader(shapes))


def original_table(sizes: ControlNetSizes, header: Header, prefix: str) -> Table:
    """Where the network's tensors stand in a file of the original layout."""
    zeros = count(header, prefix + "zero_convs.{}.0.weight")
    modules = control_net_modules(sizes.unet, hint_convolutions(header, prefix), zeros)
    return table_of_modules(modules, header, prefix)


def diffusers_table(header: Header, prefix: str) -> Table:
    """The same for diffusers' layout."""
    return same_names(header, prefix)


def hint_convolutions(names: Mapping[str, object], prefix: str = "") -> int:
    """How many convolutions the reader has in a file of the original layout, where activations stand between them."""
    number = 0
    while f"{prefix}{HINT.format(2 * number)}" in names:
        number += 1
    return number


def control_net_modules(sizes: UNetSizes, convolutions: int, zeros: int) -> Iterator[tuple[str, str]]:
    """(name in diffusers, name in the original layout) of every module, for a reader of so many convolutions and so many ways out."""
    for target, source in unet_modules(sizes):
        if not target.startswith(SECOND_HALF):
            yield target, source
    yield "controlnet_cond_embedding.conv_in", "input_hint_block.0"
    yield "controlnet_cond_embedding.conv_out", f"input_hint_block.{2 * convolutions - 2}"
    for number in range(convolutions - 2):
        yield f"controlnet_cond_embedding.blocks.{number}", f"input_hint_block.{2 * number + 2}"
    for number in range(zeros):
        yield f"controlnet_down_blocks.{number}", f"zero_convs.{number}.0"
    yield "controlnet_mid_block", "middle_block_out.0"


def _reader(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """The channels of each level: convolutions come in pairs, the second of which leads to the next level."""
    return (shapes[0][0], *(shape[0] for shape in shapes[2::2]))
