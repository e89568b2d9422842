"""Enlarging and mending pictures by networks made for it (ESRGAN, Compact, SwinIR, DAT, SPAN, ...)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.ports import File, Image, UpscaleModel
from marquetry.engine.usage import MAX_FACTOR, Extent, Usage, extent_of

if TYPE_CHECKING:
    from torch import Tensor


def scale_of(inputs: Mapping[str, Any]) -> int:
    """The factor of the upscaler; before it is loaded, the largest that there is."""
    return int(getattr(inputs.get("upscale_model"), "scale", MAX_FACTOR))


def _extent(inputs: Mapping[str, Any]) -> Extent:
    given, scale = extent_of(inputs.get("image")), scale_of(inputs)
    return Extent(given.width * scale, given.height * scale, given.count)


def _usage(inputs: Mapping[str, Any]) -> tuple[Usage, ...]:
    """One operation a picture: up to four times as long a side, or more."""
    return (Usage("upscale.4x" if scale_of(inputs) <= 4 else "upscale.8x", extent_of(inputs.get("image")).count),)


@node(id="UpscaleModelLoader", title="Load Upscale Model", category="loaders", lane="device")
def load_upscale_model(model_name: Annotated[str, File("upscale_models")], context: Context) -> UpscaleModel:
    """Loads a network that enlarges or mends pictures; its architecture and scale are found out from its tensors."""
    from marquetry.engine.models.upscaling import load_upscaler

    return load_upscaler(context.models, model_name)


@node(
    id="ImageUpscaleWithModel",
    title="Upscale Image (using Model)",
    category="image/upscaling",
    lane="device",
    usage=_usage,
    extent=_extent,
    aliases=("enlarge", "super resolution", "restore"),
)
def upscale_with_model(upscale_model: UpscaleModel, image: Image, context: Context) -> Image:
    """Enlarges pictures by the network's own factor, in tiles that blend into each other. When memory is short, tiles become smaller."""
    enlarged: Tensor = upscale_model.enlarge(image, progress=context.progress, notice=context.text)
    return enlarged
