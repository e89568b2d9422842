"""Resizing of pictures and latents by the methods that ComfyUI's graphs name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from marquetry.engine.lazy import functional, numpy, torch

if TYPE_CHECKING:
    from torch import Tensor

Method: TypeAlias = Literal["nearest-exact", "bilinear", "area", "bicubic", "lanczos", "bislerp"]
Crop: TypeAlias = Literal["disabled", "center"]
METHODS: tuple[str, ...] = get_args(Method)
NEARLY_PARALLEL = 1e-5  # of the cosine: below it the plane of rotation between two vectors is lost in rounding


def resize(samples: Tensor, width: int, height: int, method: str, crop: str = "disabled") -> Tensor:
    """`samples` `[B, C, H, W]` (or `[B, C, T, H, W]`, frame by frame) to `[..., height, width]`, in the same dtype.

    With `crop="center"` the longer side is first trimmed on both ends, so that proportions stay. `lanczos` works on 8-bit values
    and so is for pictures in 0..1 only. Raises ValueError for an unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"unknown resize method '{method}'; use one of {', '.join(METHODS)}")
    if samples.ndim == 5:
        frames = samples.movedim(2, 1)  # [B, T, C, H, W]
        resized = resize(frames.flatten(0, 1), width, height, method, crop)
        return resized.reshape(*frames.shape[:2], *resized.shape[1:]).movedim(1, 2)
    if crop == "center":
        samples = crop_to_shape(samples, width, height)
    if method == "bislerp":
        return bislerp(samples, width, height)
    if method == "lanczos":
        return lanczos(samples, width, height)
    return functional.interpolate(samples, size=(height, width), mode=method)


def crop_to_shape(samples: Tensor, width: int, height: int) -> Tensor:
    """The middle of `[B, C, H, W]` that has the proportions of `width` to `height`, at its own resolution."""
    old_height, old_width = samples.shape[-2:]
    old_aspect, new_aspect = old_width / old_height, width / height
    x = y = 0
    if old_aspect > new_aspect:
        x = round((old_width - old_width * (new_aspect / old_aspect)) / 2)
    elif old_aspect < new_aspect:
        y = round((old_height - old_height * (old_aspect / new_aspect)) / 2)
    return samples[..., y : old_height - y, x : old_width - x]


def bislerp(samples: Tensor, width: int, height: int) -> Tensor:
    """Bilinear resizing that rotates between the channel vectors of neighbours instead of mixing them, so that their length stays.

    Each result is a spherical interpolation (Shoemake 1985) of the directions times a linear one of the lengths, along the
    width first and the height after. `[B, C, H, W]` in, `[B, C, height, width]` out.
    """
    vectors = samples.movedim(1, -1).float()  # [B, H, W, C]
    for axis, length in ((2, width), (1, height)):
        low, high, ratio = _neighbours(vectors.shape[axis], length, samples.device)
        shape = [1, 1, 1, 1]
        shape[axis] = length
        vectors = slerp(vectors.index_select(axis, low), vectors.index_select(axis, high), ratio.reshape(shape))
    return vectors.movedim(-1, 1).to(samples.dtype)


def slerp(start: Tensor, end: Tensor, ratio: Tensor) -> Tensor:
    """From `start` to `end` `[..., C]` along the arc between them; `ratio` in 0..1 broadcasts.

    Parallel vectors give `start`, opposite ones the straight line: between those there is no single arc.
    """
    start_length, end_length = start.norm(dim=-1, keepdim=True), end.norm(dim=-1, keepdim=True)
    start_direction = torch.where(start_length > 0, start / start_length, 0.0)
    end_direction = torch.where(end_length > 0, end / end_length, 0.0)
    cosine = (start_direction * end_direction).sum(dim=-1, keepdim=True)
    angle = torch.acos(cosine)
    arc = (torch.sin((1 - ratio) * angle) * start_direction + torch.sin(ratio * angle) * end_direction) / torch.sin(angle)
    line = start * (1 - ratio) + end * ratio
    curved = arc * (start_length * (1 - ratio) + end_length * ratio)
    curved = torch.where(cosine > 1 - NEARLY_PARALLEL, start, curved)
    return torch.where(cosine < NEARLY_PARALLEL - 1, line, curved)


def lanczos(samples: Tensor, width: int, height: int) -> Tensor:
    """Lanczos resampling of pictures `[B, C, H, W]` in 0..1, rounded to 8 bits as Pillow works on them."""
    from PIL import Image

    levels = (samples.float().clamp(0, 1) * 255).movedim(1, -1).to(device="cpu", dtype=torch.uint8).numpy()  # [B, H, W, C]

    def one(picture: numpy.ndarray) -> numpy.ndarray:
        if picture.shape[-1] in (3, 4):
            return numpy.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))
        channels = [Image.fromarray(numpy.ascontiguousarray(picture[..., index])) for index in range(picture.shape[-1])]
        return numpy.stack([numpy.asarray(channel.resize((width, height), Image.Resampling.LANCZOS)) for channel in channels], axis=-1)

    resized = torch.from_numpy(numpy.stack([one(picture) for picture in levels])).movedim(-1, 1)
    return (resized.float() / 255).to(device=samples.device, dtype=samples.dtype)


def _neighbours(old: int, new: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Per new place: the old places left and right of it, and how far it is from the left one, with pixels' centres aligned."""
    places = ((torch.arange(new, dtype=torch.float32, device=device) + 0.5) * (old / new) - 0.5).clamp(0, old - 1)
    low = places.floor()
    return low.long(), (low.long() + 1).clamp(max=old - 1), places - low
