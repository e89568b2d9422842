"""Between tensors in 0..1 and the whole numbers that files hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from marquetry.engine.lazy import numpy, torch

if TYPE_CHECKING:
    from numpy import uint8, uint16
    from numpy.typing import NDArray
    from torch import Tensor


def to_uint8(image: Tensor) -> NDArray[uint8]:
    """`image` `[..., C]` in 0..1 as bytes: 255 times in float32, clipped, truncated (0.1 is 25, 0.5 is 127). NaN becomes 0."""
    scaled = torch.nan_to_num(image.detach().float() * 255.0, nan=0.0).clamp_(0, 255)
    levels: NDArray[uint8] = scaled.to(device="cpu", dtype=torch.uint8).numpy()
    return levels


def to_tensor(levels: NDArray[uint8] | NDArray[uint16]) -> Tensor:
    """Bytes or 16-bit numbers as float32 in 0..1, of the same shape."""
    return torch.from_numpy(levels.astype(numpy.float32) / numpy.float32(numpy.iinfo(levels.dtype).max))
