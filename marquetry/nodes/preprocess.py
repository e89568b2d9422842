"""Pictures made ready to steer by: edges, lines, scribbles, shades, tiles. Everything here works at once, with no weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.lazy import functional, torch
from marquetry.engine.ports import Advanced, Image, Mask, Range, Seed, Tip

if TYPE_CHECKING:
    from torch import Tensor

CATEGORY = "image/preprocessors"
Threshold = Annotated[float, Range(0.01, 0.99, step=0.01)]
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
SOFT_SCALES = (1.0, 2.0, 4.0)  # of the blurs whose edges are taken, in pixels of a picture of SOFT_SIDE
SOFT_SIDE = 512
DOG_RATIO = 1.6  # of the two blurs whose difference is like the eye's (Marr and Hildreth 1980)
HIDDEN = -1.0
SMALLEST = 8  # pixels to which a tile is brought down
Method: TypeAlias = Literal["canny", "soft edge", "line art", "scribble", "binary", "tile", "recolor", "shuffle", "invert"]


@node(id="Canny", title="Canny", category=CATEGORY, aliases=("edges", "edge detection", "canny edge", "outline"))
def canny(image: Image, low_threshold: Threshold = 0.4, high_threshold: Threshold = 0.8) -> Image:
    """Thin white edges on black (Canny 1986): those above `high_threshold`, and those above `low_threshold` that continue them."""
    if low_threshold > high_threshold:
        raise NodeFailed(f"low_threshold {low_threshold} is above high_threshold {high_threshold}; swap them")
    from kornia.filters import canny as edges_of

    found: Tensor = edges_of(_planes(image), low_threshold, high_threshold)[1]
    return _picture(found)


@node(id="SoftEdgePreprocess", title="Soft Edges", category=CATEGORY, aliases=("hed", "pidinet", "edges"))
def soft_edges(image: Image, strength: Annotated[float, Range(0.1, 10.0, step=0.1)] = 1.0) -> Image:
    """Broad edges in shades of grey: the mean steepness over several blurs, brightest where the steepest are. No network is used."""
    light = _light(image)
    pixel = min(light.shape[-2:]) / SOFT_SIDE
    steep = torch.stack([_steepness(_blurred(light, scale * pixel)) * scale for scale in SOFT_SCALES]).mean(dim=0)
    top = steep.flatten(1).quantile(0.98, dim=1).clamp(min=1e-4).reshape(-1, 1, 1, 1) if steep[0].numel() <= 2**24 else steep.amax()
    return _picture((steep / top * strength).clamp(0.0, 1.0))


@node(id="LineArtPreprocess", title="Line Art", category=CATEGORY, aliases=("lineart", "drawing"))
def line_art(
    image: Image,
    sigma: Annotated[float, Range(0.3, 20.0, step=0.1), Tip("Width of the lines, in pixels.")] = 1.0,
    contrast: Annotated[float, Range(0.1, 50.0, step=0.1)] = 8.0,
) -> Image:
    """White lines on black where the picture is darker than its surroundings, softly."""
    light = _light(image)
    darker = _blurred(light, sigma * DOG_RATIO) - _blurred(light, sigma)
    return _picture((darker * contrast).clamp(0.0, 1.0))


@node(id="ScribblePreprocess", title="Scribble", category=CATEGORY, aliases=("xdog", "sketch", "drawing"))
def scribble(
    image: Image,
    sigma: Annotated[float, Range(0.3, 20.0, step=0.1), Tip("Width of the strokes, in pixels.")] = 2.0,
    threshold: Annotated[float, Range(0.001, 0.5, step=0.001), Tip("How much darker than its surroundings a stroke is.")] = 0.02,
) -> Image:
    """White strokes on black, by the difference of two blurs and a threshold (Winnemoeller, Kyprianidis and Olsen 2012)."""
    light = _light(image)
    return _picture(((_blurred(light, sigma * DOG_RATIO) - _blurred(light, sigma)) > threshold).float())


@node(id="BinaryPreprocess", title="Binary", category=CATEGORY, aliases=("threshold", "black and white", "otsu"))
def binary(image: Image, threshold: Annotated[float, Range(0.0, 1.0, step=0.01), Tip("0 finds one for each picture.")] = 0.0) -> Image:
    """White where the picture is lighter than a threshold; 0 takes the one that parts light and dark best (Otsu 1979)."""
    light = _light(image)
    levels = [threshold if threshold > 0 else _otsu(each) for each in light]
    return _picture((light > torch.tensor(levels).reshape(-1, 1, 1, 1).to(light)).float())


@node(id="TilePreprocess", title="Tile", category=CATEGORY, aliases=("tile", "upscale", "blur"))
def tile(image: Image, factor: Annotated[float, Range(1.0, 64.0, step=0.5), Tip("How much smaller it is made in between.")] = 4.0) -> Image:
    """The picture without its details, for networks that make them anew: brought down by `factor` and back up."""
    planes = image.movedim(-1, 1)
    size = planes.shape[-2:]
    small = tuple(max(min(SMALLEST, side), round(side / factor)) for side in size)
    shrunk = functional.interpolate(planes, size=small, mode="area")
    return functional.interpolate(shrunk, size=tuple(size), mode="bicubic", antialias=False).clamp(0.0, 1.0).movedim(1, -1)


@node(id="RecolorPreprocess", title="Recolor", category=CATEGORY, aliases=("gray", "grey", "luminance", "colorize"))
def recolor(
    image: Image,
    mode: Literal["luminance", "intensity"] = "luminance",
    gamma: Annotated[float, Range(0.1, 4.0, step=0.01)] = 1.0,
) -> Image:
    """The picture in grey, for networks that give it colour: as bright as the eye sees it, or by the brightest channel."""
    light = _light(image) if mode == "luminance" else _planes(image).amax(dim=1, keepdim=True)
    return _picture(light.clamp(0.0, 1.0) ** gamma)


@node(id="ShufflePreprocess", title="Shuffle", category=CATEGORY, aliases=("warp", "style", "colors"))
def shuffle(
    image: Image,
    seed: Annotated[int, Seed()] = 0,
    scale: Annotated[int, Range(2, 64, step=1), Advanced, Tip("How many waves of the warp fit into a side.")] = 4,
) -> Image:
    """The picture's colours and textures without its shapes: every place shows another, smoothly and at random."""
    planes = image.movedim(-1, 1)
    batch, height, width = planes.shape[0], *planes.shape[-2:]
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 2, scale + 3, scale + 3, generator=generator)
    places = functional.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=True)
    low, high = places.amin(dim=(2, 3), keepdim=True), places.amax(dim=(2, 3), keepdim=True)
    grid = ((places - low) / (high - low) * 2.0 - 1.0).movedim(1, -1)
    moved = functional.grid_sample(planes, grid.to(planes), mode="bilinear", padding_mode="reflection", align_corners=True)
    return moved.clamp(0.0, 1.0).movedim(1, -1)


@node(id="InpaintPreprocessor", title="Inpaint Preprocessor", category=CATEGORY, aliases=("inpaint", "controlnet inpaint"))
def inpaint(image: Image, mask: Mask, black_pixel_for_xinsir_cn: bool = False) -> Image:
    """The picture with what `mask` marks taken out, as ControlNets for inpainting want it: -1 there, or black for xinsir's."""
    flat = mask.reshape(-1, 1, *mask.shape[-2:]).float()
    marked = functional.interpolate(flat, size=tuple(image.shape[1:3]), mode="bilinear")[:, 0, :, :, None] > 0.5
    return torch.where(marked, 0.0 if black_pixel_for_xinsir_cn else HIDDEN, image[..., :3])


@node(id="ControlNetPreprocess", title="ControlNet Preprocess", category=CATEGORY, aliases=("preprocessor", "annotator", "aux"))
def preprocess(image: Image, method: Method) -> Image:
    """Makes a picture ready to steer by, in one of several ways, each with its own node's settings left as they are."""
    return METHODS[method](image)


METHODS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "canny": canny,
    "soft edge": soft_edges,
    "line art": line_art,
    "scribble": scribble,
    "binary": binary,
    "tile": tile,
    "recolor": recolor,
    "shuffle": shuffle,
    "invert": lambda image: 1.0 - image[..., :3],
}


def _planes(image: Tensor) -> Tensor:
    """`[B, H, W, C]` as `[B, 3, H, W]`."""
    planes = image[..., :3].movedim(-1, 1).float()
    return planes if planes.shape[1] == 3 else planes[:, :1].expand(-1, 3, -1, -1)


def _light(image: Tensor) -> Tensor:
    """How light each place is, `[B, 1, H, W]` in 0..1."""
    planes = _planes(image)
    return (planes * torch.tensor(LUMA).to(planes).reshape(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def _picture(light: Tensor) -> Tensor:
    """`[B, 1, H, W]` as a grey picture `[B, H, W, 3]` on the CPU."""
    return light.expand(-1, 3, -1, -1).movedim(1, -1).cpu().contiguous()


def _blurred(light: Tensor, sigma: float) -> Tensor:
    """A Gaussian mean of the surroundings."""
    from kornia.filters import gaussian_blur2d

    radius = max(1, min(round(3 * sigma), min(light.shape[-2:]) - 1))
    side = 2 * radius + 1
    blurred: Tensor = gaussian_blur2d(
        light, (side, side), (max(sigma, 0.1),) * 2, "reflect" if min(light.shape[-2:]) > radius else "replicate"
    )
    return blurred


def _steepness(light: Tensor) -> Tensor:
    """The length of the gradient, by Sobel's filters."""
    from kornia.filters import sobel

    steep: Tensor = sobel(light)
    return steep


def _otsu(light: Tensor) -> float:
    """The threshold that parts a picture's light and dark best."""
    counts = torch.histc(light.cpu(), bins=256, min=0.0, max=1.0)
    middles = (torch.arange(256) + 0.5) / 256
    below, total = counts.cumsum(0), counts.sum()
    sums = (counts * middles).cumsum(0)
    between = (sums[-1] * below / total - sums) ** 2 / (below * (total - below)).clamp(min=1e-6)
    best = between == between.max()
    return float(middles[best].mean())
