"""Filters over pictures: blur, sharpen, fewer colours, morphology."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from marquetry.engine.declare import node
from marquetry.engine.lazy import functional, numpy, torch
from marquetry.engine.pictures import to_tensor, to_uint8
from marquetry.engine.ports import Advanced, Image, Range

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage
    from torch import Tensor

Radius = Annotated[int, Range(1, 31, step=1)]
PALETTE_STRENGTH = 2 * 256  # of ordered dithering, over the number of colours
SHARPEN_STRENGTH = 10


@node(id="ImageBlur", title="Blur Image", category="image/postprocessing", aliases=("gaussian", "soften"))
def blur(image: Image, blur_radius: Radius = 1, sigma: Annotated[float, Range(0.1, 10.0, step=0.1)] = 1.0) -> Image:
    """Gaussian blur over a square of `2 * blur_radius + 1` pixels; `sigma` counts in radii. The border is reflected."""
    return convolved(image, gaussian(blur_radius, sigma))


@node(id="ImageSharpen", title="Sharpen Image", category="image/postprocessing", aliases=("unsharp mask",))
def sharpen(
    image: Image,
    sharpen_radius: Radius = 1,
    sigma: Annotated[float, Range(0.1, 10.0, step=0.01)] = 1.0,
    alpha: Annotated[float, Range(0.0, 5.0, step=0.01)] = 1.0,
) -> Image:
    """Adds `10 * alpha` times the difference to a Gaussian mean of the surroundings, and clips to 0..1."""
    kernel = gaussian(sharpen_radius, sigma) * (-SHARPEN_STRENGTH * alpha)
    kernel[sharpen_radius, sharpen_radius] += 1.0 - kernel.sum()
    return convolved(image, kernel).clamp(0, 1)


@node(id="ImageQuantize", title="Quantize Image", category="image/postprocessing", aliases=("palette", "posterize", "dither"))
def quantize(
    image: Image,
    colors: Annotated[int, Range(1, 256, step=1)] = 256,
    dither: Literal["none", "floyd-steinberg", "bayer-2", "bayer-4", "bayer-8", "bayer-16"] = "none",
) -> Image:
    """Brings each picture to a palette of its own of at most `colors` colours. Alpha stays as it is."""
    from PIL import Image as pillow

    levels = to_uint8(image[..., :3])
    reduced = [with_palette(pillow.fromarray(picture), colors, dither) for picture in levels]
    result = to_tensor(numpy.stack([numpy.asarray(picture.convert("RGB")) for picture in reduced]))
    return torch.cat((result, image[..., 3:]), dim=-1)


@node(id="Morphology", title="Image Morphology", category="image/postprocessing", aliases=("dilate", "erode"))
def morphology(
    image: Image,
    operation: Literal["erode", "dilate", "open", "close", "gradient", "bottom_hat", "top_hat"],
    kernel_size: Annotated[int, Range(3, 999, step=1), Advanced] = 3,
) -> Image:
    """Morphology with a square of `kernel_size` pixels, on each channel; what lies outside the picture never counts."""
    samples = image.movedim(-1, 1)
    match operation:
        case "erode":
            result = eroded(samples, kernel_size)
        case "dilate":
            result = dilated(samples, kernel_size)
        case "open":
            result = dilated(eroded(samples, kernel_size), kernel_size)
        case "close":
            result = eroded(dilated(samples, kernel_size), kernel_size)
        case "gradient":
            result = dilated(samples, kernel_size) - eroded(samples, kernel_size)
        case "bottom_hat":
            result = eroded(dilated(samples, kernel_size), kernel_size) - samples
        case "top_hat":
            result = samples - dilated(eroded(samples, kernel_size), kernel_size)
    return result.movedim(1, -1)


def gaussian(radius: int, sigma: float) -> Tensor:
    """A Gaussian `[2 * radius + 1, 2 * radius + 1]` over -1..1 that sums to 1."""
    line = torch.linspace(-1, 1, 2 * radius + 1)
    distance = torch.sqrt(line[:, None] ** 2 + line[None, :] ** 2)
    weights = torch.exp(-(distance**2) / (2.0 * sigma * sigma))
    return weights / weights.sum()


def convolved(image: Tensor, kernel: Tensor) -> Tensor:
    """Each channel of `[B, H, W, C]` under `kernel` `[2r + 1, 2r + 1]`; the border is reflected, however small the picture is."""
    radius, channels = kernel.shape[0] // 2, image.shape[-1]
    samples = image.movedim(-1, 1)
    for axis in (2, 3):
        samples = samples.index_select(axis, reflected(samples.shape[axis], radius))
    weights = kernel.to(image).repeat(channels, 1, 1, 1)
    return functional.conv2d(samples, weights, groups=channels).movedim(1, -1)


def reflected(length: int, radius: int) -> Tensor:
    """Places `-radius` to `length + radius`, folded back into 0..length - 1 at both ends without repeating the end itself."""
    period = max(1, 2 * (length - 1))
    places = torch.arange(-radius, length + radius).abs() % period
    return torch.minimum(places, period - places) if length > 1 else torch.zeros_like(places)


def with_palette(picture: PillowImage, colors: int, dither: str) -> PillowImage:
    """An RGB picture in the palette that suits it best, by error diffusion, by ordered dithering, or by the nearest colour."""
    from PIL.Image import Dither, fromarray

    palette = picture.quantize(colors=colors)
    if dither == "floyd-steinberg":
        return picture.quantize(palette=palette, dither=Dither.FLOYDSTEINBERG)
    if dither.startswith("bayer"):
        order = int(dither.removeprefix("bayer-"))
        count = len(palette.getpalette() or []) // 3
        tile = thresholds(order) * (PALETTE_STRENGTH / count) + 0.5
        levels = numpy.asarray(picture).astype(numpy.float32)
        height, width = levels.shape[:2]
        tiles = numpy.tile(tile, (-(-height // order), -(-width // order)))[:height, :width, None]
        picture = fromarray((levels + tiles).clip(0, 255).astype(numpy.uint8))
    return picture.quantize(palette=palette, dither=Dither.NONE)


def thresholds(order: int) -> Any:
    """Bayer's matrix `[order, order]`, in -0.5..0.5 around 0; `order` is a power of two."""
    if order == 1:
        return numpy.zeros((1, 1), numpy.float32)
    inner = thresholds(order // 2) * order**2
    return numpy.block([[inner - 1.5, inner + 0.5], [inner + 1.5, inner - 0.5]]).astype(numpy.float32) / order**2


def dilated(samples: Tensor, size: int) -> Tensor:
    """The largest value in a square around each pixel of `[B, C, H, W]`; along one axis after the other, which is the same."""
    before, after = size // 2, size - 1 - size // 2
    padded = functional.pad(samples, (before, after, before, after), value=-torch.inf)
    return functional.max_pool2d(functional.max_pool2d(padded, (1, size), stride=1), (size, 1), stride=1)


def eroded(samples: Tensor, size: int) -> Tensor:
    return -dilated(-samples, size)
