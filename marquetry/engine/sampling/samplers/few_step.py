"""Samplers that draw the whole noise anew: consistency models and the original DDPM."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from marquetry.engine.sampling.sampler import DenoiseRequest, Sampling, Trajectory
from marquetry.engine.sampling.snr import alpha

if TYPE_CHECKING:
    from torch import Tensor


def lcm(x: Tensor, trajectory: Trajectory) -> Sampling:
    """Multistep consistency sampling (Song et al. 2023, algorithm 1; Luo et al. 2023): denoise at once, add noise of the next level."""
    for step, sigma, sigma_next in trajectory.steps():
        x = (yield DenoiseRequest(x, sigma, step)).denoised
        if sigma_next > 0.0:
            x = trajectory.sampling.noise_scaling(sigma_next, trajectory.noise.draw(), x)
    return x


def ddpm(x: Tensor, trajectory: Trajectory) -> Sampling:
    """Ancestral sampling of DDPM with the posterior's own variance (Ho et al. 2020, algorithm 2), on any levels.

    The posterior between two levels is that of the signal-to-noise ratios, whatever the signal's scale alpha (Kingma et al. 2021).
    """
    flow = trajectory.is_flow
    for step, sigma, sigma_next in trajectory.steps():
        denoised = (yield DenoiseRequest(x, sigma, step)).denoised
        if sigma_next == 0.0:
            x = denoised
            continue
        scale, scale_next = alpha(sigma, flow), alpha(sigma_next, flow)
        kept = (sigma_next * scale / (sigma * scale_next)) ** 2  # the ratio of the two signal-to-noise ratios
        x = denoised * (scale_next * (1.0 - kept)) + x * ((sigma_next / sigma) ** 2 * scale / scale_next)
        x = x + trajectory.noise.draw() * (sigma_next * math.sqrt(1.0 - kept))
    return x
