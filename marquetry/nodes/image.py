"""Pictures: making, resizing, cropping, turning, joining and batching them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, TypeAlias

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.lazy import functional, torch
from marquetry.engine.pictures import MAX_RESOLUTION, require_size
from marquetry.engine.ports import Choice, Image, Mask, Optional, Range, Raw
from marquetry.engine.resize import resize
from marquetry.engine.usage import joined, same, scaled, sized, times

if TYPE_CHECKING:
    from torch import Tensor

Method: TypeAlias = Literal["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]
Size = Annotated[int, Range(0, MAX_RESOLUTION, step=1)]
Side = Annotated[int, Range(1, MAX_RESOLUTION, step=1)]
Padding = Annotated[int, Range(0, MAX_RESOLUTION, step=8)]
Count = Annotated[int, Range(1, 4096)]
GREY = 0.5


class Padded(NamedTuple):
    IMAGE: Image
    MASK: Mask


class Shape(NamedTuple):
    width: int
    height: int
    batch_size: int


@node(id="ImageScale", title="Upscale Image", category="image/upscaling", aliases=("resize", "scale"), extent=sized(like="image"))
def scale(
    image: Image, upscale_method: Method, width: Size = 512, height: Size = 512, crop: Literal["disabled", "center"] = "disabled"
) -> Image:
    """Resizes to `width` x `height`. A side of 0 follows the other in proportion; both 0 changes nothing. `center` trims to the new proportions first."""
    if not width and not height:
        return image
    old_height, old_width = image.shape[1:3]
    width = width or max(1, round(old_width * height / old_height))
    height = height or max(1, round(old_height * width / old_width))
    return resized(image, width, height, upscale_method, crop)


@node(
    id="ImageScaleBy", title="Upscale Image By", category="image/upscaling", aliases=("resize", "scale"), extent=scaled("image", "scale_by")
)
def scale_by(image: Image, upscale_method: Method, scale_by: Annotated[float, Range(0.01, 8.0, step=0.01)] = 1.0) -> Image:
    """Multiplies both sides by `scale_by`, rounded to whole pixels."""
    return resized(image, round(image.shape[2] * scale_by), round(image.shape[1] * scale_by), upscale_method)


@node(id="ImageScaleToTotalPixels", title="Scale Image to Total Pixels", category="image/upscaling", aliases=("megapixels",))
def scale_to_total_pixels(
    image: Image,
    upscale_method: Method,
    megapixels: Annotated[float, Range(0.01, 16.0, step=0.01)] = 1.0,
    resolution_steps: Annotated[int, Range(1, 256), Optional] = 1,
) -> Image:
    """Resizes in proportion to `megapixels` times 1024 x 1024 pixels; sides are multiples of `resolution_steps`."""
    old_height, old_width = image.shape[1:3]
    factor = math.sqrt(megapixels * 1024 * 1024 / (old_width * old_height))
    width, height = (max(1, round(side * factor / resolution_steps)) * resolution_steps for side in (old_width, old_height))
    return resized(image, width, height, upscale_method)


@node(id="ImageScaleToMaxDimension", title="Scale Image to Max Dimension", category="image/upscaling")
def scale_to_max_dimension(
    image: Image,
    upscale_method: Annotated[str, Choice("area", "lanczos", "bilinear", "nearest-exact", "bicubic")],
    largest_size: Size = 512,
) -> Image:
    """Resizes in proportion so that the longer side has `largest_size` pixels."""
    old_height, old_width = image.shape[1:3]
    longer = max(old_height, old_width)
    width, height = (round(side / longer * largest_size) for side in (old_width, old_height))
    return resized(image, width, height, upscale_method)


@node(
    id="ResizeAndPadImage",
    title="Resize and Pad Image",
    category="image/transform",
    aliases=("fit", "letterbox"),
    extent=sized("target_width", "target_height", like="image"),
)
def resize_and_pad(
    image: Image,
    target_width: Side = 512,
    target_height: Side = 512,
    padding_color: Literal["white", "black"] = "white",
    interpolation: Annotated[str, Choice("area", "bicubic", "nearest-exact", "bilinear", "lanczos")] = "area",
) -> Image:
    """Fits the picture into the target size in proportion, in the middle of a plain ground."""
    batch, old_height, old_width, channels = image.shape
    require_size(target_width, target_height, batch)
    factor = min(target_width / old_width, target_height / old_height)
    width, height = max(1, int(old_width * factor)), max(1, int(old_height * factor))
    ground = torch.full((batch, target_height, target_width, channels), 1.0 if padding_color == "white" else 0.0, dtype=image.dtype)
    top, left = (target_height - height) // 2, (target_width - width) // 2
    ground[:, top : top + height, left : left + width] = resized(image, width, height, interpolation)
    return ground


@node(id="ImageInvert", title="Invert Image", category="image", aliases=("negative",), extent=same("image"))
def invert(image: Image) -> Image:
    """One minus each value, so that light becomes dark."""
    return 1.0 - image


@node(id="ImageBatch", title="Batch Images", category="image", aliases=("combine", "append"), extent=joined("image1", "image2"))
def batch(image1: Image, image2: Image) -> Image:
    """Both batches in one. `image2` is resized to the size of `image1` and trimmed to its proportions; missing channels become 1."""
    image1, image2 = same_channels(image1, image2)
    if image1.shape[1:] != image2.shape[1:]:
        image2 = resized(image2, image1.shape[2], image1.shape[1], "bilinear", "center")
    require_size(image1.shape[2], image1.shape[1], len(image1) + len(image2))
    return torch.cat((image1, image2))


@node(id="EmptyImage", title="Empty Image", category="image", aliases=("blank", "solid colour"), extent=sized(count="batch_size"))
def empty(
    width: Side = 512, height: Side = 512, batch_size: Count = 1, color: Annotated[int, Range(0, 0xFFFFFF, step=1, display="color")] = 0
) -> Image:
    """Pictures of one colour, `color` being 0xRRGGBB."""
    require_size(width, height, batch_size)
    shades = torch.tensor([(color >> shift & 0xFF) / 0xFF for shift in (16, 8, 0)], dtype=torch.float32)
    return shades.expand(batch_size, height, width, 3).contiguous()


@node(id="ImagePadForOutpaint", title="Pad Image for Outpainting", category="image")
def pad_for_outpaint(
    image: Image,
    left: Padding = 0,
    top: Padding = 0,
    right: Padding = 0,
    bottom: Padding = 0,
    feathering: Annotated[int, Range(0, MAX_RESOLUTION, step=1)] = 40,
) -> Padded:
    """Adds grey borders, and a mask `[1, H, W]` that is 1 there and fades over `feathering` pixels into the picture.

    The fade is quadratic in the distance to the nearest border that was added; it is left out where two would meet.
    """
    batch, height, width, channels = image.shape
    require_size(width + left + right, height + top + bottom, batch)
    padded = torch.full((batch, height + top + bottom, width + left + right, channels), GREY, dtype=torch.float32)
    inside = (slice(top, top + height), slice(left, left + width))
    padded[:, inside[0], inside[1]] = image
    mask = torch.ones(padded.shape[1:3])
    mask[inside] = faded(height, width, feathering, (left, top, right, bottom))
    return Padded(padded, mask[None])


@node(id="ImageCrop", title="Image Crop", category="image/transform", aliases=("trim", "cut"), extent=same("image"))
def crop(image: Image, width: Side = 512, height: Side = 512, x: Size = 0, y: Size = 0) -> Image:
    """The part from (`x`, `y`) of at most `width` x `height`; smaller where the picture ends."""
    x, y = min(x, image.shape[2] - 1), min(y, image.shape[1] - 1)
    return image[:, y : y + height, x : x + width]


@node(id="ImageFlip", title="Flip Image", category="image/transform", aliases=("mirror",), extent=same("image"))
def flip(image: Image, flip_method: Literal["x-axis: vertically", "y-axis: horizontally"]) -> Image:
    """Mirrors upside down or left to right."""
    return torch.flip(image, dims=[1 if flip_method.startswith("x") else 2])


@node(id="ImageRotate", title="Rotate Image", category="image/transform", aliases=("turn",), extent=same("image"))
def rotate(image: Image, rotation: Literal["none", "90 degrees", "180 degrees", "270 degrees"]) -> Image:
    """Turns clockwise by quarters."""
    quarters = ("none", "90 degrees", "180 degrees", "270 degrees").index(rotation)
    return torch.rot90(image, k=quarters, dims=[2, 1])


@node(id="RepeatImageBatch", title="Repeat Image Batch", category="image/batch", aliases=("duplicate",), extent=times("image", "amount"))
def repeat(image: Image, amount: Count = 1) -> Image:
    """The whole batch `amount` times over."""
    require_size(image.shape[2], image.shape[1], len(image) * amount)
    return image.repeat((amount, 1, 1, 1))


@node(
    id="ImageFromBatch",
    title="Image from Batch",
    category="image/batch",
    aliases=("select", "pick"),
    extent=times("image", "length", whole=False),
)
def from_batch(image: Image, batch_index: Annotated[int, Range(0, 4095)] = 0, length: Count = 1) -> Image:
    """`length` pictures from `batch_index` on, counted from 0; fewer where the batch ends."""
    batch_index = min(len(image) - 1, batch_index)
    return image[batch_index : batch_index + length].clone()


@node(id="RebatchImages", title="Rebatch Images", category="image/batch", input_is_list=True)
def rebatch(images: list[Image], batch_size: list[Annotated[int, Range(1, 4096), Raw(default=1)]]) -> list[Image]:
    """All pictures of all batches in a list of batches of `batch_size`; the last may be smaller. They must be of one size."""
    singles = [single for image in images for single in (image[index : index + 1] for index in range(len(image)))]
    groups = [singles[start : start + batch_size[0]] for start in range(0, len(singles), batch_size[0])]
    for group in groups:
        if len({single.shape for single in group}) > 1:
            sizes = ", ".join(sorted({f"{single.shape[2]}x{single.shape[1]}" for single in group}))
            raise NodeFailed(f"pictures of different sizes can't be in one batch: {sizes}; scale them to one size first")
    return [torch.cat(group) for group in groups]


@node(
    id="GetImageSize",
    title="Get Image Size",
    category="image",
    hidden={"unique_id": "UNIQUE_ID"},
    aliases=("dimensions", "resolution"),
    extent=same("image"),
)
def get_size(image: Image, context: Context) -> Shape:
    """Width and height in pixels, and how many pictures the batch has; also shown on the node."""
    count, height, width = image.shape[:3]
    context.text(f"width: {width}, height: {height}\n batch size: {count}")
    return Shape(width, height, count)


@node(id="ImageAddNoise", title="Add Noise to Image", category="image", aliases=("film grain",), extent=same("image"))
def add_noise(
    image: Image,
    seed: Annotated[int, Range(0, 0xFFFFFFFFFFFFFFFF), Raw(control_after_generate=True)] = 0,
    strength: Annotated[float, Range(0.0, 1.0, step=0.01)] = 0.5,
) -> Image:
    """Adds normal noise times `strength`, the same for the same `seed` on every device, and clips to 0..1."""
    noise = torch.randn(image.size(), generator=torch.Generator("cpu").manual_seed(seed))
    return torch.clip(image + strength * noise.to(image), 0.0, 1.0)


def resized(image: Tensor, width: int, height: int, method: str, crop: str = "disabled") -> Tensor:
    """`[B, H, W, C]` to `[B, height, width, C]`. Raises NodeFailed for sizes beyond the limits."""
    require_size(width, height, len(image))
    return resize(image.movedim(-1, 1), width, height, method, crop).movedim(1, -1)


def same_channels(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Both with as many channels as the richer has; what is added is 1, which is opaque."""
    channels = max(first.shape[-1], second.shape[-1])
    grown = [functional.pad(image, (0, channels - image.shape[-1]), value=1.0) for image in (first, second)]
    return grown[0], grown[1]


def faded(height: int, width: int, feathering: int, borders: tuple[int, int, int, int]) -> Tensor:
    """`[height, width]`: from 1 at the sides whose border is not 0 (left, top, right, bottom) to 0 at `feathering` pixels from them."""
    if not 0 < feathering * 2 < min(height, width):
        return torch.zeros(height, width)
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None, :]
    far = torch.tensor(max(height, width))
    distances = (columns, rows, width - columns, height - rows)
    nearest = far.expand(height, width)
    for border, distance in zip(borders, distances, strict=True):
        if border:
            nearest = torch.minimum(nearest, distance)
    return ((feathering - nearest).clamp(min=0) / feathering) ** 2
