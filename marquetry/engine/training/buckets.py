"""Aspect buckets: pictures of any shape are learnt in a few shapes of nearly the same area, so that little is cut away."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from marquetry.engine.training.errors import TrainingFailed

ASPECT_MAX = 2.0


@dataclass(frozen=True, slots=True, order=True)
class Bucket:
    """One shape, in pixels."""

    height: int
    width: int

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.width / self.height


def buckets(resolution: int, step: int) -> tuple[Bucket, ...]:
    """The shapes whose sides are multiples of `step` and whose area is at most that of the square, up to two to one."""
    if resolution < step or resolution % step:
        raise TrainingFailed(f"a resolution of {resolution} does not suit this model; choose a multiple of {step}")
    found = {Bucket(resolution, resolution)}
    for width in range(step, round(resolution * ASPECT_MAX) + 1, step):
        height = resolution * resolution // width // step * step
        if height and 1.0 / ASPECT_MAX <= width / height <= ASPECT_MAX:
            found |= {Bucket(height, width), Bucket(width, height)}
    return tuple(sorted(found))


def bucket_of(height: int, width: int, shapes: tuple[Bucket, ...]) -> Bucket:
    """The shape that cuts the least off a picture, and of those the largest."""
    aspect = width / height

    def lost(shape: Bucket) -> tuple[float, int]:
        return max(aspect / shape.aspect, shape.aspect / aspect), -shape.height * shape.width

    return min(shapes, key=lost)


def fitted(picture: Tensor, shape: Bucket) -> Tensor:
    """A picture `[H, W, 3]` of bytes, resized to cover the shape and cut to it from the middle."""
    height, width = picture.shape[:2]
    if (height, width) == (shape.height, shape.width):
        return picture
    scale = max(shape.height / height, shape.width / width)
    size = max(shape.height, round(height * scale)), max(shape.width, round(width * scale))
    resized = functional.interpolate(picture.permute(2, 0, 1)[None].float(), size=size, mode="bicubic", antialias=True)[0]
    top, left = (size[0] - shape.height) // 2, (size[1] - shape.width) // 2
    cut = resized[:, top : top + shape.height, left : left + shape.width]
    return cut.clamp(0.0, 255.0).round().to(torch.uint8).permute(1, 2, 0).contiguous()
