"""How pictures are made worse, so that a network can learn to make them better: blur, shrinking, noise, coarse compression."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass

import numpy
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Degradation:
    """The most that is done; how much of it happens is drawn anew for each picture. `noise` is a deviation in 0..1.

    A picture is shrunk by `scale`; with `same_size` it is enlarged again, by a factor of its own up to `scale`.
    """

    scale: int = 4
    blur: float = 0.6
    noise: float = 0.01
    jpeg_quality: int = 100  # the least; 100 leaves compression out
    same_size: bool = False
    filters: tuple[str, ...] = ("bicubic", "area", "bilinear")

    def apply(self, picture: Tensor, draw: random.Random) -> Tensor:
        """The worse version of `[3, H, W]` in 0..1."""
        worse = blurred(picture, draw.uniform(0.0, self.blur))
        height, width = picture.shape[-2:]
        factor = draw.uniform(1.0, self.scale) if self.same_size else float(self.scale)
        small = (max(1, round(height / factor)), max(1, round(width / factor)))
        mode = draw.choice(self.filters)
        worse = functional.interpolate(worse[None], size=small, mode=mode, **({} if mode == "area" else {"antialias": True}))[0]
        if self.noise:
            generator = torch.Generator().manual_seed(draw.getrandbits(62))
            worse = worse + draw.uniform(0.0, self.noise) * torch.randn(worse.shape, generator=generator)
        if self.jpeg_quality < 100:
            worse = compressed(worse, draw.randint(self.jpeg_quality, 100))
        if self.same_size:
            worse = functional.interpolate(worse[None], size=(height, width), mode="bicubic")[0]
        return worse.clamp(0.0, 1.0)


def blurred(picture: Tensor, deviation: float) -> Tensor:
    """A Gaussian blur of `[3, H, W]`, in pixels."""
    if deviation < 0.1:
        return picture
    reach = max(1, round(3.0 * deviation))
    places = torch.arange(-reach, reach + 1).float()
    kernel = torch.exp(-0.5 * (places / deviation) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, -1)
    padded = functional.pad(picture[None], (reach,) * 4, mode="replicate")
    return functional.conv2d(functional.conv2d(padded, kernel[:, :, None, :], groups=3), kernel[..., None], groups=3)[0]


def compressed(picture: Tensor, quality: int) -> Tensor:
    """What JPEG makes of `[3, H, W]`."""
    pixels = (picture.clamp(0.0, 1.0) * 255.0).round().byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return torch.from_numpy(numpy.array(Image.open(file))).permute(2, 0, 1).float() / 255.0
