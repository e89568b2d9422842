"""T2I-Adapters (Mou et al. 2023) of SD 1, SD 2 and SDXL: small readers of a picture whose features are added once read, at every step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from marquetry.engine.lazy import torch
from marquetry.engine.models.control.hints import pixels
from marquetry.engine.models.control.kind import ControlCall, FoundControl, Residuals
from marquetry.engine.models.control.run import INNER
from marquetry.engine.models.layout.table import count, same_names, table_of_modules
from marquetry.engine.models.network import NetworkRecipe
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.weights import Weights
from marquetry.engine.resize import resize

if TYPE_CHECKING:
    from torch import Tensor

    from marquetry.engine.models.control.control_net import AppliedControl
    from marquetry.engine.models.model import Model

ROOT = "adapter."
PREFIXES = (ROOT, "")
BLOCKS = 2  # to a level, where a file numbers them through
CUTS = {64: (1, 8), 192: (3, 8), 256: (1, 16), 768: (3, 16)}  # channels of a cut picture: the picture's own, and pixels along a cut's side
XL_CUT = 16


@dataclass(frozen=True)
class AdapterSizes:
    """`kind` is diffusers' word for the architecture, `blocks` those of a level."""

    kind: str
    picture_channels: int
    cut: int
    channels: tuple[int, ...]
    blocks: int

    def config(self) -> dict[str, Any]:
        """The arguments of diffusers' T2IAdapter."""
        return {
            "in_channels": self.picture_channels,
            "channels": self.channels,
            "num_res_blocks": self.blocks,
            "downscale_factor": self.cut,
            "adapter_type": self.kind,
        }


class T2IAdapterKind:
    """See the module."""

    id = "t2i_adapter"
    needs_vae = False
    types: Mapping[str, int] = {}

    def recognise(self, header: Header) -> FoundControl | None:
        for prefix in PREFIXES:
            layout, sizes = "diffusers", diffusers_sizes(header, prefix)
            if sizes is not None:
                table = {ROOT + name: piece for name, piece in same_names(header, prefix).items()}
            else:
                layout, sizes = "original", original_sizes(header, prefix)
                table = {} if sizes is None else table_of_modules(original_modules(sizes), header, prefix)
            if sizes is not None:
                families = ("sdxl",) if sizes.cut == XL_CUT else ("sd1", "sd2")
                return FoundControl(self.id, families, layout, NetworkRecipe("diffusers:T2IAdapter", sizes.config(), table))
        return None

    def told(self, weights: Weights) -> Mapping[str, Any]:
        return {}

    def hint(self, applied: AppliedControl, network: Any, model: Model, size: tuple[int, int]) -> list[Tensor]:
        """Its features: they don't depend on the step."""
        config = applied.net.found.recipe.config
        cut = int(config["downscale_factor"])
        picture = pixels(applied, size, model.latent_format.spatial_ratio, int(config["in_channels"]))
        height, width = (-(-side // cut) * cut for side in picture.shape[-2:])
        if (height, width) != tuple(picture.shape[-2:]):
            picture = resize(picture, width, height, "nearest-exact")
        with torch.inference_mode():
            features: list[Tensor] = network(picture.to(applied.net.device, applied.net.dtype))
        return features

    def residuals(self, call: ControlCall) -> Residuals:
        return {INNER: list(call.hint)}


def diffusers_sizes(header: Header, prefix: str) -> AdapterSizes | None:
    """The sizes of an adapter in diffusers' layout under `prefix`, or None."""
    blocks = count(header, prefix + "body.0.resnets.{}.block1.weight")
    levels = count(header, prefix + "body.{}.resnets.0.block1.weight")
    return _sizes(header, prefix, levels, blocks, [f"{prefix}body.{level}" for level in range(levels)], "resnets.0") if blocks else None


def original_sizes(header: Header, prefix: str) -> AdapterSizes | None:
    """The same for the layout in which they are published."""
    light = count(header, prefix + "body.0.body.{}.block1.weight")
    if light:
        levels = count(header, prefix + "body.{}.in_conv.weight")
        return _sizes(header, prefix, levels, light, [f"{prefix}body.{level}" for level in range(levels)], "body.0")
    number = count(header, prefix + "body.{}.block1.weight")
    if not number or number % BLOCKS:
        return None
    return _sizes(header, prefix, number // BLOCKS, BLOCKS, [f"{prefix}body.{block}" for block in range(0, number, BLOCKS)], "")


def _sizes(header: Header, prefix: str, levels: int, blocks: int, places: list[str], inner: str) -> AdapterSizes | None:
    first = header.shape(f"{prefix}conv_in.weight")
    light = not first
    cut = CUTS.get((header.shape(f"{prefix}body.0.in_conv.weight") if light else first)[1:2][0] if (first or light) else 0)
    if light and f"{prefix}body.0.out_conv.weight" not in header:
        return None
    if cut is None:
        return None
    if light:  # the last level has as many channels as the one before, and is left out of the list
        channels = tuple(header.width(f"{place}.out_conv.weight") for place in places[:-1])
        return AdapterSizes("light_adapter", *cut, channels, blocks)
    block = f"{inner}.block1.weight" if inner else "block1.weight"
    channels = tuple(header.width(f"{place}.{block}") for place in places)
    return AdapterSizes("full_adapter_xl" if cut[1] == XL_CUT else "full_adapter", *cut, channels, blocks)


def original_modules(sizes: AdapterSizes) -> Iterator[tuple[str, str]]:
    """(name in diffusers, name in the published layout) of every module."""
    light = sizes.kind == "light_adapter"
    yield f"{ROOT}conv_in", "conv_in"
    for level in range(len(sizes.channels) + light):
        ours = f"{ROOT}body.{level}"
        yield f"{ours}.in_conv", f"body.{level if light else level * sizes.blocks}.in_conv"
        yield f"{ours}.out_conv", f"body.{level}.out_conv"
        for block in range(sizes.blocks):
            theirs = f"body.{level}.body.{block}" if light else f"body.{level * sizes.blocks + block}"
            for name in ("block1", "block2"):
                yield f"{ours}.resnets.{block}.{name}", f"{theirs}.{name}"


KIND = T2IAdapterKind()
