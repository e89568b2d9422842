"""Latents `{"samples": [B, C, h, w], ...}`: empty ones, and resizing, turning, cutting and joining them in the plane.

Widths, heights and places are in pixels; a latent has one value per 8 of them. Inputs are never changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from marquetry.engine.declare import node
from marquetry.engine.lazy import torch
from marquetry.engine.pictures import MAX_RESOLUTION, require_size
from marquetry.engine.ports import Latent, Mask, Range, Tip
from marquetry.engine.resize import resize
from marquetry.engine.usage import operation, same, scaled, sized
from marquetry.nodes.image_composite import pasted

if TYPE_CHECKING:
    from torch import Tensor

PIXELS = 8  # per latent value, along each side
SMALLEST = 64  # pixels along a side of what is resized
Method = Literal["nearest-exact", "bilinear", "area", "bicubic", "bislerp"]
Crop = Literal["disabled", "center"]
Size = Annotated[int, Range(0, MAX_RESOLUTION, step=8)]
CropSize = Annotated[int, Range(64, MAX_RESOLUTION, step=8)]
EmptySize = Annotated[int, Range(16, MAX_RESOLUTION, step=8)]
EmptyLargeSize = Annotated[int, Range(16, MAX_RESOLUTION, step=16)]
BatchSize = Annotated[int, Range(1, 4096), Tip("How many latents to make.")]
Rotation = Literal["none", "90 degrees", "180 degrees", "270 degrees"]
Axis = Literal["x-axis: vertically", "y-axis: horizontally"]


@node(
    id="EmptyLatentImage", title="Empty Latent Image", category="latent", aliases=("blank", "new latent"), extent=sized(count="batch_size")
)
def empty(width: EmptySize = 512, height: EmptySize = 512, batch_size: BatchSize = 1) -> Latent:
    """Latents of zeros with 4 channels, to be made into pictures from nothing."""
    return _zeros(4, width, height, batch_size)


@node(id="EmptySD3LatentImage", title="EmptySD3LatentImage", category="latent/sd3", extent=sized(count="batch_size"))
def empty_16_channels(width: EmptyLargeSize = 1024, height: EmptyLargeSize = 1024, batch_size: BatchSize = 1) -> Latent:
    """Latents of zeros with the 16 channels of Stable Diffusion 3, FLUX and their kin."""
    return _zeros(16, width, height, batch_size)


@node(id="LatentUpscale", title="Upscale Latent", category="latent", aliases=("resize", "enlarge"), extent=sized(like="samples"))
def upscale(samples: Latent, upscale_method: Method, width: Size = 512, height: Size = 512, *, crop: Crop) -> Latent:
    """Latents at another size, at least 64 pixels a side. A side of 0 follows from the other by the proportions; two leave all as it is."""
    if width == 0 and height == 0:
        return samples
    old_height, old_width = samples["samples"].shape[-2:]
    if width == 0:
        height = max(SMALLEST, height)
        width = round(old_width * height / old_height)
    elif height == 0:
        width = max(SMALLEST, width)
        height = round(old_height * width / old_width)
    width, height = max(SMALLEST, width), max(SMALLEST, height)
    return _resized(samples, width // PIXELS, height // PIXELS, upscale_method, crop)


@node(id="LatentUpscaleBy", title="Upscale Latent By", category="latent", aliases=("resize", "scale"), extent=scaled("samples", "scale_by"))
def upscale_by(samples: Latent, upscale_method: Method, scale_by: Annotated[float, Range(0.01, 8.0, step=0.01)] = 1.5) -> Latent:
    """Latents with both sides times `scale_by`."""
    height, width = (round(side * scale_by) for side in samples["samples"].shape[-2:])
    return _resized(samples, width, height, upscale_method)


@node(id="LatentRotate", title="Rotate Latent", category="latent/transform", extent=same("samples"))
def rotate(samples: Latent, rotation: Rotation) -> Latent:
    """Latents turned clockwise."""
    turns = ("none", "90 degrees", "180 degrees", "270 degrees").index(rotation)
    return samples | {"samples": torch.rot90(samples["samples"], k=turns, dims=(-1, -2))}


@node(id="LatentFlip", title="Flip Latent", category="latent/transform", aliases=("mirror",), extent=same("samples"))
def flip(samples: Latent, flip_method: Axis) -> Latent:
    """Latents mirrored, top to bottom or left to right."""
    return samples | {"samples": torch.flip(samples["samples"], dims=(-2 if flip_method.startswith("x") else -1,))}


@node(id="LatentCrop", title="Crop Latent", category="latent/transform", aliases=("cut", "trim"), extent=same("samples"))
def crop(samples: Latent, width: CropSize = 512, height: CropSize = 512, x: Size = 0, y: Size = 0) -> Latent:
    """A rectangle of the latents. It begins so that at least 64 pixels a side remain, and ends where the latent ends."""
    tensor: Tensor = samples["samples"]
    left = max(0, min(x // PIXELS, tensor.shape[-1] - SMALLEST // PIXELS))
    top = max(0, min(y // PIXELS, tensor.shape[-2] - SMALLEST // PIXELS))
    return samples | {"samples": tensor[..., top : top + height // PIXELS, left : left + width // PIXELS]}


@node(id="LatentComposite", title="Latent Composite", category="latent", aliases=("overlay", "paste"), extent=same("samples_to"))
def composite(samples_to: Latent, samples_from: Latent, x: Size = 0, y: Size = 0, feather: Size = 0) -> Latent:
    """Lays one latent over another at (`x`, `y`), with edges inside the picture fading over `feather` pixels."""
    under, left, top = samples_to["samples"], x // PIXELS, y // PIXELS
    over = samples_from["samples"][..., : max(0, under.shape[-2] - top), : max(0, under.shape[-1] - left)]
    mask = _feathered(over, under, left, top, feather // PIXELS) if feather // PIXELS else None
    return samples_to | {"samples": pasted(under, over, left, top, mask, resize_source=False)}


@node(
    id="LatentCompositeMasked", title="Latent Composite Masked", category="latent", aliases=("overlay", "paste"), extent=same("destination")
)
def composite_masked(
    destination: Latent, source: Latent, x: Size = 0, y: Size = 0, resize_source: bool = False, mask: Mask | None = None
) -> Latent:
    """Lays one latent over another at (`x`, `y`), as far as `mask` says; the mask is resized to the source."""
    joined = pasted(destination["samples"], source["samples"], x // PIXELS, y // PIXELS, mask, resize_source)
    return destination | {"samples": joined}


@node(
    id="SetLatentNoiseMask",
    title="Set Latent Noise Mask",
    category="latent/inpaint",
    aliases=("inpaint",),
    usage=operation("inpaint.local"),
    extent=same("samples"),
)
def set_noise_mask(samples: Latent, mask: Mask) -> Latent:
    """Restricts sampling to where the mask is 1. `noise_mask` is `[B, 1, H, W]`, in pixels."""
    return samples | {"noise_mask": mask.reshape(-1, 1, *mask.shape[-2:])}


def _zeros(channels: int, width: int, height: int, batch_size: int) -> dict[str, Any]:
    require_size(width, height, batch_size)
    return {"samples": torch.zeros(batch_size, channels, height // PIXELS, width // PIXELS)}


def _resized(latent: dict[str, Any], width: int, height: int, method: str, crop: str = "disabled") -> dict[str, Any]:
    require_size(width * PIXELS, height * PIXELS, latent["samples"].shape[0])
    return latent | {"samples": resize(latent["samples"], width, height, method, crop)}


def _feathered(over: Tensor, under: Tensor, left: int, top: int, feather: int) -> Tensor:
    """A mask `[1, h, w]` for `over` that rises from 1 / `feather` to 1 along each edge that is not an edge of `under`."""
    height, width = over.shape[-2:]
    rows = _faded(height, feather, start=top != 0, end=top + height < under.shape[-2])
    columns = _faded(width, feather, start=left != 0, end=left + width < under.shape[-1])
    return (rows[:, None] * columns)[None]


def _faded(length: int, feather: int, *, start: bool, end: bool) -> Tensor:
    rising = (torch.arange(1, length + 1) / feather).clamp(max=1.0)
    weights = rising if start else torch.ones(length)
    return weights * rising.flip(0) if end else weights
