"""SD1's noise schedule, what a network may be asked to name in noisy latents, and the weights that keep easy steps from drowning hard ones."""

from __future__ import annotations

import torch
from torch import Tensor

from marquetry.engine.training.recipe import Prediction

TIMESTEPS = 1000
BETA_START = 0.00085
BETA_END = 0.012


def signal_shares() -> Tensor:
    """The cumulative product of 1 - beta over the "scaled linear" schedule, `[1000]`."""
    betas = torch.linspace(BETA_START**0.5, BETA_END**0.5, TIMESTEPS, dtype=torch.float64).square()
    return torch.cumprod(1.0 - betas, dim=0).float()


def add_noise(latents: Tensor, noise: Tensor, share: Tensor) -> Tensor:
    """Latents `[B, 4, h, w]` at the signal share `[B]` of their step."""
    share = _spread(share, latents)
    return share.sqrt() * latents + (1.0 - share).sqrt() * noise


def target(prediction: Prediction, latents: Tensor, noise: Tensor, share: Tensor) -> Tensor:
    """What the network is to say: the noise, or the velocity (Salimans and Ho, 2022)."""
    if prediction == "epsilon":
        return noise
    share = _spread(share, latents)
    return share.sqrt() * noise - (1.0 - share).sqrt() * latents


def clean(prediction: Prediction, noisy: Tensor, said: Tensor, share: Tensor) -> Tensor:
    """The latents that the network's answer implies."""
    share = _spread(share, noisy)
    if prediction == "epsilon":
        return (noisy - (1.0 - share).sqrt() * said) / share.sqrt()
    return share.sqrt() * noisy - (1.0 - share).sqrt() * said


def min_snr_weights(share: Tensor, gamma: float, prediction: Prediction = "epsilon") -> Tensor:
    """Loss weights `[B]` (Hang et al., 2023): min(snr, gamma) / snr for noise, over snr + 1 for velocity. `gamma` 0 gives ones."""
    if gamma <= 0.0:
        return torch.ones_like(share)
    ratio = share / (1.0 - share)
    return ratio.clamp(max=gamma) / (ratio if prediction == "epsilon" else ratio + 1.0)


def spread_timesteps(batch: int, generator: torch.Generator) -> Tensor:
    """Time steps `[B]` spread evenly over the batch from a random start, which steadies the loss."""
    spread = (torch.rand(1, generator=generator) + torch.arange(batch) / batch) % 1.0
    return (spread * TIMESTEPS).long().clamp(max=TIMESTEPS - 1)


def draw_noise(shape: tuple[int, ...] | torch.Size, generator: torch.Generator, offset: float = 0.0) -> Tensor:
    """Normal noise; with `offset` whole channels are also shifted, so that very dark and very bright pictures can be learnt."""
    noise = torch.randn(shape, generator=generator)
    if offset:
        noise = noise + offset * torch.randn((*shape[:2], *[1] * (len(shape) - 2)), generator=generator)
    return noise


def _spread(share: Tensor, like: Tensor) -> Tensor:
    return share.reshape(-1, *[1] * (like.ndim - 1))
