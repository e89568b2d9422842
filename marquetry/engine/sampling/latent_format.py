"""LatentFormat: how a family's latents are stored, and how they look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from marquetry.engine.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class LatentFormat:
    """The latent space of a family of autoencoders.

    `means` and `deviations` normalise each channel by itself, where there are any, instead of `scale_factor` and `shift_factor`.
    `rgb_factors` has `channels` rows of (red, green, blue): a linear map from the scaled latent to colours in -1..1, for previews.
    """

    channels: int
    spatial_ratio: int = 8
    scale_factor: float = 1.0
    rgb_factors: tuple[tuple[float, float, float], ...] = ()
    rgb_bias: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shift_factor: float = 0.0
    dimensions: int = 2  # spatial (and temporal) dimensions: latents are [B, channels, *dimensions]
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()

    def process_in(self, latent: Tensor) -> Tensor:
        """From the autoencoder's space to the one that the denoiser was trained in; any shape."""
        if self.means:
            return (latent - _along(self.means, latent)) / _along(self.deviations, latent)
        return (latent - self.shift_factor) * self.scale_factor if self.shift_factor else latent * self.scale_factor

    def process_out(self, latent: Tensor) -> Tensor:
        """The inverse of `process_in`."""
        if self.means:
            return latent * _along(self.deviations, latent) + _along(self.means, latent)
        scaled = latent / self.scale_factor
        return scaled + self.shift_factor if self.shift_factor else scaled


def _along(values: tuple[float, ...], latent: Tensor) -> Tensor:
    """One value for each channel, to go with `latent` [B, C, ...]."""
    return torch.tensor(values, dtype=latent.dtype, device=latent.device).reshape(1, -1, *(1,) * (latent.ndim - 2))
