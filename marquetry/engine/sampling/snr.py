"""Signal-to-noise ratios: what exponential integrators and ancestral steps count in.

With `x = alpha * x0 + sigma * noise`, lambda is `log(alpha / sigma)` (half the log-SNR of Lu et al. 2022).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from marquetry.engine.sampling.sampler import Trajectory

FIRST_PERCENT = 1e-4


def half_log_snr(sigma: float, flow: bool) -> float:
    """lambda of a noise level above 0 (and below 1 for a flow)."""
    return math.log1p(-sigma) - math.log(sigma) if flow else -math.log(sigma)


def from_half_log_snr(value: float, flow: bool) -> float:
    """The noise level of a lambda."""
    return 1.0 / (1.0 + math.exp(value)) if flow else math.exp(-value)


def alpha(sigma: float, flow: bool) -> float:
    """What the clean latent is multiplied by at a noise level."""
    return 1.0 - sigma if flow else 1.0


def finite_sigmas(trajectory: Trajectory) -> tuple[float, ...]:
    """The levels of a trajectory, the first lowered a little where lambda would be minus infinity: pure noise of a flow."""
    sigmas = trajectory.sigmas
    if trajectory.is_flow and len(sigmas) > 1 and sigmas[0] >= 1.0:
        return (trajectory.sampling.percent_to_sigma(FIRST_PERCENT), *sigmas[1:])
    return sigmas


class AncestralStep(NamedTuple):
    """Go down to level `down` without noise, multiply by `scale`, add noise times `up`: one arrives at the level aimed at."""

    down: float
    scale: float
    up: float


def ancestral_step(sigma: float, sigma_next: float, eta: float, flow: bool = False) -> AncestralStep:
    """Split a step into a deterministic part and fresh noise; `eta` 0 is all deterministic, 1 is DDPM's variance (Song et al. 2020).

    For a flow, `eta` interpolates how far below the aim the deterministic part goes, and the scale restores the signal's share.
    """
    if eta == 0.0 or sigma_next == 0.0:
        return AncestralStep(sigma_next, 1.0, 0.0)
    if flow:
        down = sigma_next * (1.0 + (sigma_next / sigma - 1.0) * eta)
        scale = (1.0 - sigma_next) / (1.0 - down)
        return AncestralStep(down, scale, math.sqrt(max(sigma_next**2 - (down * scale) ** 2, 0.0)))
    up = min(sigma_next, eta * math.sqrt(sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2))
    return AncestralStep(math.sqrt(sigma_next**2 - up**2), 1.0, up)
