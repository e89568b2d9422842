"""DPM-Solver++ (Lu et al. 2022b): exponential integrators of the denoised latent, one or two evaluations a step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from marquetry.engine.sampling.sampler import DenoiseRequest, Sampling, Trajectory
from marquetry.engine.sampling.samplers.euler import toward
from marquetry.engine.sampling.snr import alpha, ancestral_step, from_half_log_snr, half_log_snr

if TYPE_CHECKING:
    from torch import Tensor

ALMOST_PURE_NOISE = 0.9999  # where a flow's first step is halved: the lambda of level 1 is minus infinity


def _middle(sigma: float, down: float, flow: bool) -> float:
    """The level halfway in lambda."""
    if not flow:
        return math.sqrt(sigma * down)
    if sigma >= 1.0:
        return ALMOST_PURE_NOISE
    return from_half_log_snr((half_log_snr(sigma, flow) + half_log_snr(down, flow)) / 2, flow)


def dpmpp_2s_ancestral(x: Tensor, trajectory: Trajectory, *, eta: float = 1.0, s_noise: float = 1.0) -> Sampling:
    """DPM-Solver++(2S), algorithm 1, to below the aim, then fresh noise up to it."""
    flow = trajectory.is_flow
    for step, sigma, sigma_next in trajectory.steps():
        first = yield DenoiseRequest(x, sigma, step)
        part = ancestral_step(sigma, sigma_next, eta, flow)
        if part.down == 0.0:
            x = first.denoised
        else:
            middle = _middle(sigma, part.down, flow)
            second = yield DenoiseRequest(toward(x, first.denoised, middle / sigma), middle, step)
            x = toward(x, second.denoised, part.down / sigma)
        if part.up > 0.0:
            x = x * part.scale + trajectory.noise.draw() * (s_noise * part.up)
    return x


def dpmpp_2s_ancestral_cfg_pp(x: Tensor, trajectory: Trajectory, *, eta: float = 1.0, s_noise: float = 1.0) -> Sampling:
    """The same with CFG++ (Chung et al. 2024): noise is taken along the unconditional estimate."""
    flow = trajectory.is_flow
    for step, sigma, sigma_next in trajectory.steps():
        first = yield DenoiseRequest(x, sigma, step, uncond=True)
        part = ancestral_step(sigma, sigma_next, eta, flow)
        if part.down == 0.0:
            x = first.denoised
        else:
            middle = _middle(sigma, part.down, flow)
            shifted = x + (first.denoised - first.unguided) * alpha(sigma, flow)
            second = yield DenoiseRequest(toward(shifted, first.denoised, middle / sigma), middle, step, uncond=True)
            x = toward(shifted, second.denoised, part.down / sigma)
        if part.up > 0.0:
            x = x * part.scale + trajectory.noise.draw() * (s_noise * part.up)
    return x


def dpmpp_2m(x: Tensor, trajectory: Trajectory) -> Sampling:
    """DPM-Solver++(2M), algorithm 2: the previous estimate gives the second order."""
    sigmas = trajectory.sigmas
    previous: Tensor | None = None
    for step, sigma, sigma_next in trajectory.steps():
        denoised = (yield DenoiseRequest(x, sigma, step)).denoised
        if previous is None or sigma_next == 0.0:
            x = toward(x, denoised, sigma_next / sigma)
        else:
            ratio = math.log(sigmas[step - 1] / sigma) / math.log(sigma / sigma_next)
            x = toward(x, denoised + (denoised - previous) / (2 * ratio), sigma_next / sigma)
        previous = denoised
    return x


def dpmpp_2m_cfg_pp(x: Tensor, trajectory: Trajectory) -> Sampling:
    """The same with CFG++ (Chung et al. 2024): the noise kept, and its correction, follow the unconditional estimates."""
    sigmas = trajectory.sigmas
    previous: Tensor | None = None
    for step, sigma, sigma_next in trajectory.steps():
        answer = yield DenoiseRequest(x, sigma, step, uncond=True)
        if sigma_next == 0.0:
            x = answer.denoised
        else:
            kept = sigma_next / sigma
            x = toward(x, answer.unguided, kept) + (answer.denoised - answer.unguided) * alpha(sigma_next, trajectory.is_flow)
            if previous is not None:
                ratio = math.log(sigmas[step - 1] / sigma) / math.log(sigma / sigma_next)
                x = x + (answer.denoised - previous) * ((1.0 - kept) / (2 * ratio))
        previous = answer.unguided
    return x
