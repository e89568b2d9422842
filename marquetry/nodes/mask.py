"""Masks `[B, H, W]`: making, converting, cutting, combining, feathering and growing them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.lazy import functional, torch
from marquetry.engine.pictures import MAX_RESOLUTION, require_size
from marquetry.engine.ports import Advanced, Image, Mask, Range

if TYPE_CHECKING:
    from torch import Tensor

Size = Annotated[int, Range(0, MAX_RESOLUTION, step=1)]
Side = Annotated[int, Range(1, MAX_RESOLUTION, step=1)]
Fraction = Annotated[float, Range(0.0, 1.0, step=0.01)]
CHANNELS = ("red", "green", "blue", "alpha")
STEPS_BETWEEN_CHECKS = 16


@node(id="MaskToImage", title="Convert Mask to Image", category="mask")
def mask_to_image(mask: Mask) -> Image:
    """A grey picture `[B, H, W, 3]` of each mask."""
    return batched(mask)[..., None].expand(-1, -1, -1, 3)


@node(id="ImageToMask", title="Convert Image to Mask", category="mask", aliases=("extract channel",))
def image_to_mask(image: Image, channel: Literal["red", "green", "blue", "alpha"]) -> Mask:
    """One channel of each picture as it is. Fails for the alpha of pictures that have none."""
    index = CHANNELS.index(channel)
    if index >= image.shape[-1]:
        raise NodeFailed(f"the picture has no {channel} channel; it has {image.shape[-1]} channels")
    return image[..., index]


@node(id="ImageColorToMask", title="Convert Image Color to Mask", category="mask", aliases=("chroma key",))
def colour_to_mask(image: Image, color: Annotated[int, Range(0, 0xFFFFFF, step=1, display="number")] = 0) -> Mask:
    """1 where a pixel, rounded to bytes, is exactly `color` (0xRRGGBB)."""
    levels = (image[..., :3].clamp(0, 1) * 255.0).round().to(torch.int32)
    wanted = torch.tensor([color >> shift & 0xFF for shift in (16, 8, 0)], dtype=torch.int32)
    return (levels == wanted.to(levels.device)).all(dim=-1).float()


@node(id="SolidMask", title="Create Solid Mask", category="mask")
def solid(value: Fraction = 1.0, width: Side = 512, height: Side = 512) -> Mask:
    """A mask `[1, height, width]` of one value."""
    require_size(width, height)
    return torch.full((1, height, width), value)


@node(id="InvertMask", title="Invert Mask", category="mask")
def invert(mask: Mask) -> Mask:
    """One minus each value."""
    return 1.0 - mask


@node(id="CropMask", title="Crop Mask", category="mask", aliases=("cut",))
def crop(mask: Mask, x: Size = 0, y: Size = 0, width: Side = 512, height: Side = 512) -> Mask:
    """The part from (`x`, `y`) of at most `width` x `height`; smaller where the mask ends."""
    mask = batched(mask)
    if x >= mask.shape[2] or y >= mask.shape[1]:
        raise NodeFailed(f"({x}, {y}) lies outside of the mask of {mask.shape[2]}x{mask.shape[1]}")
    return mask[:, y : y + height, x : x + width]


@node(id="MaskComposite", title="Combine Masks", category="mask")
def composite(
    destination: Mask,
    source: Mask,
    x: Size = 0,
    y: Size = 0,
    operation: Literal["multiply", "add", "subtract", "and", "or", "xor"] = "multiply",
) -> Mask:
    """Combines `source`, with its corner at (`x`, `y`), into `destination`; what lies outside is cut off. The result is clipped to 0..1.

    `and`, `or` and `xor` first round to 0 or 1.
    """
    result = batched(destination).clone()
    source = repeated(batched(source), len(result))
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + source.shape[2], result.shape[2]), min(y + source.shape[1], result.shape[1])
    if left < right and top < bottom:
        piece = source[:, top - y : bottom - y, left - x : right - x]
        place = result[:, top:bottom, left:right]
        place.copy_(operated(place, piece, operation))
    return result.clamp(0.0, 1.0)


@node(id="FeatherMask", title="Feather Mask", category="mask", aliases=("soft edge",))
def feather(mask: Mask, left: Size = 0, top: Size = 0, right: Size = 0, bottom: Size = 0) -> Mask:
    """Fades the mask linearly towards its sides, over so many pixels from each."""
    result = batched(mask).clone()
    height, width = result.shape[1:]
    left, right, top, bottom = min(left, width), min(right, width), min(top, height), min(bottom, height)
    result[:, :, :left] *= ramp(left)
    result[:, :, width - right :] *= ramp(right).flip(0)
    result[:, :top] *= ramp(top)[:, None]
    result[:, height - bottom :] *= ramp(bottom).flip(0)[:, None]
    return result


@node(id="GrowMask", title="Grow Mask", category="mask", aliases=("expand", "shrink"))
def grow(
    mask: Mask,
    expand: Annotated[int, Range(-MAX_RESOLUTION, MAX_RESOLUTION, step=1)] = 0,
    tapered_corners: Annotated[bool, Advanced] = True,
    *,
    context: Context,
) -> Mask:
    """Widens the bright parts by `expand` pixels, or narrows them when it is negative; corners become slanted or stay square."""
    sign = 1.0 if expand > 0 else -1.0
    result = sign * batched(mask)[:, None]  # [B, 1, H, W]
    for step in range(min(abs(expand), sum(result.shape[-2:]))):
        if step % STEPS_BETWEEN_CHECKS == 0:
            context.check()
        across = functional.max_pool2d(result, (1, 3), stride=1, padding=(0, 1))
        result = functional.max_pool2d(result if tapered_corners else across, (3, 1), stride=1, padding=(1, 0))
        if tapered_corners:
            result = torch.maximum(result, across)
    return sign * result[:, 0]


@node(id="ThresholdMask", title="Threshold Mask", category="mask", aliases=("binary",))
def threshold(mask: Mask, value: Fraction = 0.5) -> Mask:
    """1 where the mask is greater than `value`, else 0."""
    return (mask > value).float()


def batched(mask: Tensor) -> Tensor:
    """`[B, H, W]` of a mask that may also come as `[H, W]` or `[B, 1, H, W]`."""
    return mask.reshape(-1, mask.shape[-2], mask.shape[-1])


def repeated(batch: Tensor, count: int) -> Tensor:
    """The first `count` of a batch, from the beginning again where there are fewer."""
    if len(batch) < count:
        batch = batch.repeat(-(-count // len(batch)), *[1] * (batch.ndim - 1))
    return batch[:count]


def operated(first: Tensor, second: Tensor, operation: str) -> Tensor:
    match operation:
        case "multiply":
            return first * second
        case "add":
            return first + second
        case "subtract":
            return first - second
    first, second = first.round().bool(), second.round().bool()
    return {"and": first & second, "or": first | second, "xor": first ^ second}[operation].float()


def ramp(length: int) -> Tensor:
    """1 / length, 2 / length, ..., 1."""
    return torch.arange(1, length + 1, dtype=torch.float32) / max(length, 1)
