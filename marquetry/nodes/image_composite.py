"""Pictures laid over and beside each other: blending, pasting, alpha, the operators of Porter and Duff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.lazy import functional, torch
from marquetry.engine.pictures import MAX_RESOLUTION, require_size
from marquetry.engine.ports import Image, Mask, Range
from marquetry.nodes.image import resized, same_channels
from marquetry.nodes.mask import batched, repeated

if TYPE_CHECKING:
    from torch import Tensor

Place = Annotated[int, Range(0, MAX_RESOLUTION, step=1)]
Operator = Literal[
    "ADD", "CLEAR", "DARKEN", "DST", "DST_ATOP", "DST_IN", "DST_OUT", "DST_OVER", "LIGHTEN", "MULTIPLY", "OVERLAY", "SCREEN", "SRC", "SRC_ATOP",
    "SRC_IN", "SRC_OUT", "SRC_OVER", "XOR",
]  # fmt: skip
SPACING_COLOURS = {
    "white": (1.0, 1.0, 1.0),
    "black": (0.0, 0.0, 0.0),
    "red": (1.0, 0.0, 0.0),
    "green": (0.0, 1.0, 0.0),
    "blue": (0.0, 0.0, 1.0),
}
NEARLY_TRANSPARENT = 1e-5


class ImageAndMask(NamedTuple):
    IMAGE: Image
    MASK: Mask


@node(id="ImageBlend", title="Blend Images", category="image/postprocessing", aliases=("mix",))
def blend(
    image1: Image,
    image2: Image,
    blend_factor: Annotated[float, Range(0.0, 1.0, step=0.01)] = 0.5,
    blend_mode: Literal["normal", "multiply", "screen", "overlay", "soft_light", "difference"] = "normal",
) -> Image:
    """`image1` mixed with the blend of both by `blend_factor`. `image2` is resized and trimmed to `image1`, whose alpha stays."""
    image2 = with_channels_of(image1, image2)
    if image1.shape[1:3] != image2.shape[1:3]:
        image2 = resized(image2, image1.shape[2], image1.shape[1], "bicubic", "center")
    mixed = torch.clamp(image1 * (1 - blend_factor) + blended(image1, image2, blend_mode) * blend_factor, 0, 1)
    return torch.cat((mixed[..., :3], image1[..., 3:].expand(len(mixed), -1, -1, -1)), dim=-1)


@node(id="ImageCompositeMasked", title="Image Composite Masked", category="image", aliases=("overlay", "paste"))
def composite_masked(
    destination: Image, source: Image, x: Place = 0, y: Place = 0, resize_source: bool = False, mask: Mask | None = None
) -> Image:
    """Lays `source` over `destination` with its corner at (`x`, `y`), as far as `mask` says; the mask is resized to the source."""
    source = with_channels_of(destination, source)
    return pasted(destination.movedim(-1, 1), source.movedim(-1, 1), x, y, mask, resize_source).movedim(1, -1)


@node(id="ImageStitch", title="Image Stitch", category="image/transform", aliases=("side by side", "join"))
def stitch(
    image1: Image,
    direction: Literal["right", "down", "left", "up"] = "right",
    match_image_size: bool = True,
    spacing_width: Annotated[int, Range(0, 1024, step=2)] = 0,
    spacing_color: Literal["white", "black", "red", "green", "blue"] = "white",
    image2: Image | None = None,
) -> Image:
    """Puts `image2` beside `image1` on the side that `direction` names, with a stripe between; without `image2` gives `image1`.

    With `match_image_size` the second is resized in proportion to the shared side; else the smaller is centred on a plain ground.
    The shorter batch repeats its last picture.
    """
    if image2 is None:
        return image1
    count = max(len(image1), len(image2))
    image1, image2 = (torch.cat((image, image[-1:].expand(count - len(image), -1, -1, -1))) for image in (image1, image2))
    along, across = (2, 1) if direction in ("left", "right") else (1, 2)
    colour = SPACING_COLOURS[spacing_color]
    if match_image_size:
        shared = image1.shape[across]
        other = int(shared * (image2.shape[along] / image2.shape[across]))
        width, height = (other, shared) if along == 2 else (shared, other)
        image2 = resized(image2, width, height, "lanczos")
    else:
        side = max(image1.shape[across], image2.shape[across])
        ground = colour[0] if len(set(colour)) == 1 else 0.0
        image1, image2 = (centred(image, across, side, ground) for image in (image1, image2))
    image1, image2 = same_channels(image1, image2)
    parts = [image2, image1] if direction in ("left", "up") else [image1, image2]
    if spacing_width:
        shape = list(image1.shape)
        shape[along] = spacing_width + spacing_width % 2
        shade = torch.tensor([*colour, 1.0])[: shape[-1]]
        parts.insert(1, shade.expand(shape))
    sides = [sum(part.shape[axis] for part in parts) if axis == along else image1.shape[axis] for axis in (1, 2)]
    require_size(sides[1], sides[0], count)
    return torch.cat(parts, dim=along)


@node(id="JoinImageWithAlpha", title="Join Image with Alpha", category="mask/compositing", aliases=("add transparency",))
def join_alpha(image: Image, alpha: Mask) -> Image:
    """RGBA pictures that are transparent where `alpha` is 1; the shorter batch repeats."""
    count = max(len(image), len(batched(alpha)))
    image, alpha = repeated(image, count), repeated(batched(alpha), count)
    alpha = functional.interpolate(alpha[:, None], size=image.shape[1:3], mode="bilinear")[:, 0]
    return torch.cat((image[..., :3], (1.0 - alpha)[..., None]), dim=-1)


@node(id="SplitImageWithAlpha", title="Split Image with Alpha", category="mask/compositing", aliases=("remove transparency",))
def split_alpha(image: Image) -> ImageAndMask:
    """The colours alone, and a mask that is 1 where the picture is transparent; zeros where it has no alpha."""
    mask = 1.0 - image[..., 3] if image.shape[-1] > 3 else torch.zeros(image.shape[:3])
    return ImageAndMask(image[..., :3], mask)


@node(id="PorterDuffImageComposite", title="Porter-Duff Image Composite", category="mask/compositing", aliases=("alpha composite",))
def porter_duff(source: Image, source_alpha: Mask, destination: Image, destination_alpha: Mask, mode: Operator = "DST") -> ImageAndMask:
    """Composites by the operators of Porter and Duff (1984) and their kin. Masks are 1 where a picture is transparent.

    Source and masks are resized and trimmed to the destination; the shortest batch counts.
    """
    if source.shape[-1] != destination.shape[-1]:
        raise NodeFailed(f"source has {source.shape[-1]} channels and destination {destination.shape[-1]}; split the alpha off first")
    count = min(len(source), len(source_alpha), len(destination), len(destination_alpha))
    height, width = destination.shape[1:3]

    def fitted(image: Tensor) -> Tensor:
        image = image[:count]
        return image if image.shape[1:3] == (height, width) else resized(image, width, height, "bicubic", "center")

    opaque_source, opaque_destination = (1.0 - fitted(mask[..., None]) for mask in (source_alpha, destination_alpha))
    image, alpha = combined(
        fitted(source) * opaque_source, opaque_source, fitted(destination) * opaque_destination, opaque_destination, mode
    )
    image = torch.where(alpha > NEARLY_TRANSPARENT, image / alpha, 0.0).clamp(0, 1)
    return ImageAndMask(image, 1.0 - alpha[..., 0])


def blended(under: Tensor, over: Tensor, mode: str) -> Tensor:
    """The blend modes of the W3C's compositing specification, for values in 0..1."""
    match mode:
        case "multiply":
            return under * over
        case "screen":
            return 1 - (1 - under) * (1 - over)
        case "overlay":
            return torch.where(under <= 0.5, 2 * under * over, 1 - 2 * (1 - under) * (1 - over))
        case "soft_light":
            lifted = torch.where(under <= 0.25, ((16 * under - 12) * under + 4) * under, torch.sqrt(under))
            darker, lighter = under - (1 - 2 * over) * under * (1 - under), under + (2 * over - 1) * (lifted - under)
            return torch.where(over <= 0.5, darker, lighter)
        case "difference":
            return under - over
        case _:
            return over


def combined(source: Tensor, opaque: Tensor, destination: Tensor, ground: Tensor, mode: str) -> tuple[Tensor, Tensor]:
    """Colour and alpha of both together; colours, here and in the result, are multiplied by their alphas `opaque` and `ground`."""
    union = opaque + ground - opaque * ground
    outside = (1 - ground) * source + (1 - opaque) * destination
    results = {
        "ADD": lambda: ((source + destination).clamp(0, 1), (opaque + ground).clamp(0, 1)),
        "CLEAR": lambda: (torch.zeros_like(destination), torch.zeros_like(ground)),
        "DARKEN": lambda: (outside + torch.minimum(source, destination), union),
        "DST": lambda: (destination, ground),
        "DST_ATOP": lambda: (opaque * destination + (1 - ground) * source, opaque),
        "DST_IN": lambda: (destination * opaque, opaque * ground),
        "DST_OUT": lambda: ((1 - opaque) * destination, (1 - opaque) * ground),
        "DST_OVER": lambda: (destination + (1 - ground) * source, ground + (1 - ground) * opaque),
        "LIGHTEN": lambda: (outside + torch.maximum(source, destination), union),
        "MULTIPLY": lambda: (source * destination, opaque * ground),
        "OVERLAY": lambda: (
            torch.where(
                2 * destination < ground, 2 * source * destination, opaque * ground - 2 * (ground - source) * (opaque - destination)
            ),
            union,
        ),
        "SCREEN": lambda: (source + destination - source * destination, union),
        "SRC": lambda: (source, opaque),
        "SRC_ATOP": lambda: (ground * source + (1 - opaque) * destination, ground),
        "SRC_IN": lambda: (source * ground, opaque * ground),
        "SRC_OUT": lambda: ((1 - ground) * source, (1 - ground) * opaque),
        "SRC_OVER": lambda: (source + (1 - opaque) * destination, opaque + (1 - opaque) * ground),
        "XOR": lambda: (outside, (1 - ground) * opaque + (1 - opaque) * ground),
    }
    return results[mode]()


def pasted(destination: Tensor, source: Tensor, x: int, y: int, mask: Tensor | None, resize_source: bool) -> Tensor:
    """`destination` `[B, C, H, W]` with `source` mixed in at (`x`, `y`) by `mask`; what lies outside is cut off, none of it is touched."""
    height, width = destination.shape[-2:]
    if resize_source:
        source = functional.interpolate(source, size=(height, width), mode="bilinear")
    source = repeated(source, len(destination))
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + source.shape[-1], width), min(y + source.shape[-2], height)
    result = destination.clone()
    if left >= right or top >= bottom:
        return result
    inside = (slice(top - y, bottom - y), slice(left - x, right - x))
    place = (..., slice(top, bottom), slice(left, right))
    piece = source[(..., *inside)]
    if mask is not None:
        share = functional.interpolate(batched(mask)[:, None], size=source.shape[-2:], mode="bilinear")
        share = repeated(share, len(source))[(..., *inside)]
        piece = share * piece + (1.0 - share) * result[place]
    result[place] = piece
    return result


def with_channels_of(image: Tensor, other: Tensor) -> Tensor:
    """`other` with as many channels as `image`: alpha is cut off, or added as opaque."""
    missing = image.shape[-1] - other.shape[-1]
    return functional.pad(other, (0, missing), value=1.0) if missing > 0 else other[..., : image.shape[-1]]


def centred(image: Tensor, axis: int, side: int, ground: float) -> Tensor:
    """`[B, H, W, C]` in the middle of `side` pixels along `axis` (1 or 2)."""
    missing = side - image.shape[axis]
    padding = [0, 0, 0, 0, 0, 0]
    start = 2 * (3 - axis)
    padding[start], padding[start + 1] = missing // 2, missing - missing // 2
    return functional.pad(image, padding, value=ground)
