"""What Qwen2.5-VL's eyes are given: pictures at sides of whole tokens, cut into patches; and what they make of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from marquetry.engine.lazy import torch
from marquetry.engine.resize import resize

if TYPE_CHECKING:
    from torch import Tensor

MERGED = 2  # patches along each side of a token
FRAMES = 2  # a picture stands for two frames of a film
LEAST_PIXELS, MOST_PIXELS = 56 * 56, 16384 * 28 * 28
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def token_sides(height: int, width: int, patch: int) -> tuple[int, int]:
    """The nearest sides in whole tokens, with the proportions kept as well as may be and an area that the network knows."""
    unit = patch * MERGED
    high, wide = max(unit, round(height / unit) * unit), max(unit, round(width / unit) * unit)
    if high * wide > MOST_PIXELS:
        scale = math.sqrt(height * width / MOST_PIXELS)
        return max(unit, math.floor(height / scale / unit) * unit), max(unit, math.floor(width / scale / unit) * unit)
    if high * wide < LEAST_PIXELS:
        scale = math.sqrt(LEAST_PIXELS / (height * width))
        return math.ceil(height * scale / unit) * unit, math.ceil(width * scale / unit) * unit
    return high, wide


def patches(picture: Tensor, patch: int) -> tuple[Tensor, int, int]:
    """`picture` [1, H, W, C] in 0..1 as normalised patches [N, C * 2 * patch * patch], four to a token; then rows and columns of tokens."""
    pixels = picture[:1, ..., :3].movedim(-1, 1).float()  # [1, C, H, W]
    high, wide = token_sides(pixels.shape[-2], pixels.shape[-1], patch)
    if (high, wide) != tuple(pixels.shape[-2:]):
        pixels = resize(pixels, wide, high, "bicubic").clamp(0.0, 1.0)
    pixels = (pixels - torch.tensor(MEAN).reshape(1, 3, 1, 1)) / torch.tensor(DEVIATION).reshape(1, 3, 1, 1)
    rows, columns = high // patch // MERGED, wide // patch // MERGED
    cut = pixels.reshape(1, 3, rows, MERGED, patch, columns, MERGED, patch)
    cut = cut.permute(2, 5, 3, 6, 1, 0, 4, 7).expand(-1, -1, -1, -1, -1, FRAMES, -1, -1)
    return cut.reshape(rows * columns * MERGED**2, -1), rows, columns


def seen_as(network: Any, cut: Tensor, rows: int, columns: int) -> tuple[Tensor, int, int]:
    """A vector for each token `[rows * columns, D]`, float32 on the CPU."""
    grid = torch.tensor([[1, rows * MERGED, columns * MERGED]], device=cut.device)
    vectors: Tensor = network(cut, grid).pooler_output
    return vectors.float().cpu().clone(), rows, columns
