"""SD1's noise schedule and the weights that keep its easy steps from drowning the hard ones."""

import torch
from torch import Tensor

TIMESTEPS = 1000
BETA_START = 0.00085
BETA_END = 0.012


def signal_shares() -> Tensor:
    """The cumulative product of 1 - beta over the "scaled linear" schedule, `[1000]`."""
    betas = torch.linspace(BETA_START**0.5, BETA_END**0.5, TIMESTEPS, dtype=torch.float64).square()
    return torch.cumprod(1.0 - betas, dim=0).float()


def add_noise(latents: Tensor, noise: Tensor, share: Tensor) -> Tensor:
    """Latents `[B, 4, h, w]` at the signal share `[B]` of their step."""
    share = share[:, None, None, None]
    return share.sqrt() * latents + (1.0 - share).sqrt() * noise


def min_snr_weights(share: Tensor, gamma: float) -> Tensor:
    """Loss weights `[B]` for noise prediction: min(snr, gamma) / snr (Hang et al., 2023)."""
    ratio = share / (1.0 - share)
    return ratio.clamp(max=gamma) / ratio
