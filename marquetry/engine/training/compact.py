"""Compact: the small convolutional network of Real-ESRGAN (Wang et al. 2021, "SRVGGNet"), by the names under which spandrel reads it.

All work is done at the size of the input; at a scale of one it restores pictures instead of enlarging them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOPE = 0.25  # of PReLU, at first
LAST = 0.05


class Compact(nn.Module):
    """`[B, 3, h, w]` in 0..1 to `[B, 3, scale * h, scale * w]`; begins as nearest-neighbour enlargement."""

    def __init__(self, features: int = 32, convolutions: int = 8, scale: int = 4) -> None:
        super().__init__()
        self.scale = scale
        layers: list[nn.Module] = [nn.Conv2d(3, features, 3, padding=1), nn.PReLU(features)]
        for _ in range(convolutions):
            layers += [nn.Conv2d(features, features, 3, padding=1), nn.PReLU(features)]
        self.body = nn.ModuleList([*layers, nn.Conv2d(features, 3 * scale * scale, 3, padding=1)])
        for layer in self.body:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, a=SLOPE)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.body[-1].weight.mul_(LAST)  # type: ignore[operator]

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        out = x
        for layer in self.body:
            out = layer(out)
        return functional.pixel_shuffle(out, self.scale) + functional.interpolate(x, scale_factor=self.scale, mode="nearest")
