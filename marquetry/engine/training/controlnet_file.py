"""ControlNet files: the layout in which the first ones were published (`control_model.*`), and diffusers'."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from torch import Tensor

from marquetry.engine.models.layout.table import SUFFIXES
from marquetry.engine.models.layout.unet import UNetSizes, unet_modules
from marquetry.engine.training.weight_file import write_weights

ControlNetLayout: TypeAlias = Literal["original", "diffusers"]
PREFIX = "control_model."
HINT_END = 14


def write_controlnet(
    path: Path, state: Mapping[str, Tensor], sizes: UNetSizes, metadata: Mapping[str, str], layout: ControlNetLayout = "original"
) -> None:
    """Writes a ControlNet's state, by diffusers' names, in either layout."""
    write_weights(path, original_names(state, sizes) if layout == "original" else state, metadata)


def original_names(state: Mapping[str, Tensor], sizes: UNetSizes) -> dict[str, Tensor]:
    """The state by the names of the original layout. Every tensor finds its place."""
    found = {
        f"{PREFIX}{source}.{suffix}": state[f"{target}.{suffix}"]
        for target, source in controlnet_modules(state, sizes)
        for suffix in SUFFIXES
        if f"{target}.{suffix}" in state
    }
    assert len(found) == len(state), "tensors without a place in the original layout"
    return found


def controlnet_modules(state: Mapping[str, Tensor], sizes: UNetSizes) -> Iterator[tuple[str, str]]:
    """(name in diffusers, name in the original layout) of every module."""
    for target, source in unet_modules(sizes):
        if not target.startswith(("up_blocks.", "conv_norm_out", "conv_out")):
            yield target, source
    yield "controlnet_cond_embedding.conv_in", "input_hint_block.0"
    yield "controlnet_cond_embedding.conv_out", f"input_hint_block.{HINT_END}"
    for number in range(HINT_END // 2 - 1):
        yield f"controlnet_cond_embedding.blocks.{number}", f"input_hint_block.{2 * number + 2}"
    number = 0
    while f"controlnet_down_blocks.{number}.weight" in state:
        yield f"controlnet_down_blocks.{number}", f"zero_convs.{number}.0"
        number += 1
    yield "controlnet_mid_block", "middle_block_out.0"
