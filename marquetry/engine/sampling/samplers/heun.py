"""Two- and three-evaluation steps in sigma: Heun, Heun++ and the midpoint steps called DPM-2."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from marquetry.engine.sampling.sampler import DenoiseRequest, Sampling, Trajectory
from marquetry.engine.sampling.samplers.euler import churned, toward
from marquetry.engine.sampling.snr import ancestral_step

if TYPE_CHECKING:
    from torch import Tensor


def heun(
    x: Tensor, trajectory: Trajectory, *, s_churn: float = 0.0, s_tmin: float = 0.0, s_tmax: float = math.inf, s_noise: float = 1.0
) -> Sampling:
    """Heun's method: the slope is the mean of those at both ends of a step (Karras et al. 2022, algorithm 2)."""
    for step, sigma, sigma_next in trajectory.steps():
        x, sigma = churned(x, sigma, trajectory, s_churn, s_tmin, s_tmax, s_noise)
        first = yield DenoiseRequest(x, sigma, step)
        ahead = toward(x, first.denoised, sigma_next / sigma)
        if sigma_next == 0.0:
            x = ahead
            continue
        second = yield DenoiseRequest(ahead, sigma_next, step)
        slope = ((x - first.denoised) / sigma + (ahead - second.denoised) / sigma_next) / 2
        x = x + slope * (sigma_next - sigma)
    return x


def heunpp2(
    x: Tensor, trajectory: Trajectory, *, s_churn: float = 0.0, s_tmin: float = 0.0, s_tmax: float = math.inf, s_noise: float = 1.0
) -> Sampling:
    """Heun++: looks up to two levels ahead and weighs the slopes found there by their level against the highest one.

    An extension of Karras et al. 2022 from the community, without a paper.
    """
    sigmas = trajectory.sigmas
    highest, last = sigmas[0], sigmas[-1]
    for step, sigma, sigma_next in trajectory.steps():
        x, sigma = churned(x, sigma, trajectory, s_churn, s_tmin, s_tmax, s_noise)
        first = yield DenoiseRequest(x, sigma, step)
        ahead = toward(x, first.denoised, sigma_next / sigma)
        if sigma_next == last:
            x = ahead
            continue
        second = yield DenoiseRequest(ahead, sigma_next, step)
        slope = (x - first.denoised) / sigma
        slope_ahead = (ahead - second.denoised) / sigma_next
        sigma_after = sigmas[step + 2]
        if sigma_after == last:
            weight = sigma_next / (2 * highest)
            slope = slope * (1 - weight) + slope_ahead * weight
        else:
            further = toward(ahead, second.denoised, sigma_after / sigma_next)
            third = yield DenoiseRequest(further, sigma_after, step)
            weight, weight_after = sigma_next / (3 * highest), sigma_after / (3 * highest)
            slope_after = (further - third.denoised) / sigma_after
            slope = slope * (1 - weight - weight_after) + slope_ahead * weight + slope_after * weight_after
        x = x + slope * (sigma_next - sigma)
    return x


def dpm_2(
    x: Tensor, trajectory: Trajectory, *, s_churn: float = 0.0, s_tmin: float = 0.0, s_tmax: float = math.inf, s_noise: float = 1.0
) -> Sampling:
    """The midpoint method with the midpoint in log(sigma) (Lu et al. 2022, DPM-Solver-2, in the levels of Karras et al. 2022)."""
    for step, sigma, sigma_next in trajectory.steps():
        x, sigma = churned(x, sigma, trajectory, s_churn, s_tmin, s_tmax, s_noise)
        first = yield DenoiseRequest(x, sigma, step)
        if sigma_next == 0.0:
            x = first.denoised
            continue
        middle = math.sqrt(sigma * sigma_next)
        halfway = toward(x, first.denoised, middle / sigma)
        second = yield DenoiseRequest(halfway, middle, step)
        x = x + (halfway - second.denoised) * ((sigma_next - sigma) / middle)
    return x


def dpm_2_ancestral(x: Tensor, trajectory: Trajectory, *, eta: float = 1.0, s_noise: float = 1.0) -> Sampling:
    """`dpm_2` steps below the aim, then fresh noise up to it."""
    for step, sigma, sigma_next in trajectory.steps():
        first = yield DenoiseRequest(x, sigma, step)
        part = ancestral_step(sigma, sigma_next, eta, trajectory.is_flow)
        if part.down == 0.0:
            x = first.denoised
        else:
            middle = math.sqrt(sigma * part.down)
            halfway = toward(x, first.denoised, middle / sigma)
            second = yield DenoiseRequest(halfway, middle, step)
            x = x + (halfway - second.denoised) * ((part.down - sigma) / middle)
        if part.up > 0.0:
            x = x * part.scale + trajectory.noise.draw() * (s_noise * part.up)
    return x
