"""Previews: a small picture of a latent while it is sampled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from marquetry.engine.lazy import torch
from marquetry.engine.sampling.latent_format import LatentFormat

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from torch import Tensor

MAX_PREVIEW_PX = 512


def latent_preview(latent: Tensor, latent_format: LatentFormat, max_size_px: int = MAX_PREVIEW_PX) -> Picture | None:
    """An RGB picture of the first latent in `latent` [B, C, h, w] (or [B, C, T, h, w]: its first frame), in the model's space.

    As large as the picture will be, and at most `max_size_px` on its longer side; None for a format without colour factors.
    """
    if not latent_format.rgb_factors:
        return None
    from PIL import Image

    first = latent[0, :, 0] if latent.ndim == 5 else latent[0]
    factors = torch.tensor(latent_format.rgb_factors, dtype=torch.float32)
    bias = torch.tensor(latent_format.rgb_bias, dtype=torch.float32)
    colours = torch.tensordot(first.detach().float().cpu(), factors, dims=([0], [0])) + bias  # [h, w, 3] in -1..1
    pixels = colours.add(1.0).mul(127.5).nan_to_num(0.0).clamp(0, 255).to(torch.uint8)
    picture = Image.fromarray(pixels.numpy(), "RGB")
    scale = min(latent_format.spatial_ratio, max_size_px / max(picture.size))
    return picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), Image.Resampling.BICUBIC)
