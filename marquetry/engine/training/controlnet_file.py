"""ControlNet files: the layout in which the first ones were published (`control_model.*`), and diffusers'."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from torch import Tensor

from marquetry.engine.models.layout.control_net import control_net_modules
from marquetry.engine.models.layout.table import SUFFIXES, count
from marquetry.engine.models.layout.unet import UNetSizes
from marquetry.engine.training.weight_file import write_weights

ControlNetLayout: TypeAlias = Literal["original", "diffusers"]
PREFIX = "control_model."


def write_controlnet(
    path: Path, state: Mapping[str, Tensor], sizes: UNetSizes, metadata: Mapping[str, str], layout: ControlNetLayout = "original"
) -> None:
    """Writes a ControlNet's state, by diffusers' names, in either layout."""
    write_weights(path, original_names(state, sizes) if layout == "original" else state, metadata)


def original_names(state: Mapping[str, Tensor], sizes: UNetSizes) -> dict[str, Tensor]:
    """The state by the names of the original layout. Every tensor finds its place."""
    convolutions = count(state, "controlnet_cond_embedding.blocks.{}.weight") + 2
    modules = control_net_modules(sizes, convolutions, count(state, "controlnet_down_blocks.{}.weight"))
    found = {
        f"{PREFIX}{source}.{suffix}": state[f"{target}.{suffix}"]
        for target, source in modules
        for suffix in SUFFIXES
        if f"{target}.{suffix}" in state
    }
    assert len(found) == len(state), "tensors without a place in the original layout"
    return found
