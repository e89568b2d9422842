"""DPM-Solver++ for the reverse-time SDE (Lu et al. 2022b, appendix; k-diffusion's eta and s_noise), on a Brownian path."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from marquetry.engine.sampling.noise import BrownianPath
from marquetry.engine.sampling.sampler import DenoiseRequest, Sampling, Trajectory
from marquetry.engine.sampling.snr import alpha, ancestral_step, finite_sigmas, from_half_log_snr, half_log_snr

if TYPE_CHECKING:
    from torch import Tensor


def brownian_path(trajectory: Trajectory) -> BrownianPath:
    """The Brownian path of a run, over all its levels above 0; with a single one there is no noise to add."""
    lowest, highest = trajectory.lowest, max(trajectory.sigmas)
    return trajectory.noise.brownian(min(lowest, highest * 0.999), highest)


def dpmpp_sde(x: Tensor, trajectory: Trajectory, *, eta: float = 1.0, s_noise: float = 1.0, r: float = 1 / 2) -> Sampling:
    """DPM-Solver++(2S) for the SDE: fresh noise enters at the inner point `r` and at the end of each step."""
    if trajectory.count < 1:
        return x
    flow, path = trajectory.is_flow, brownian_path(trajectory)
    sigmas = finite_sigmas(trajectory)
    factor = 1 / (2 * r)
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        first = (yield DenoiseRequest(x, sigma, step)).denoised
        if sigma_next == 0.0:
            x = first
            continue
        start, end = half_log_snr(sigma, flow), half_log_snr(sigma_next, flow)
        inner = from_half_log_snr(start + r * (end - start), flow)
        halfway = _ancestral(x, first, sigma, inner, eta, s_noise, path, flow)
        second = (yield DenoiseRequest(halfway, inner, step)).denoised
        x = _ancestral(x, first * (1 - factor) + second * factor, sigma, sigma_next, eta, s_noise, path, flow)
    return x


def _ancestral(
    x: Tensor, denoised: Tensor, sigma: float, sigma_next: float, eta: float, s_noise: float, path: BrownianPath, flow: bool
) -> Tensor:
    """An ancestral step in the variance-exploding frame `x / alpha`, where the level is `sigma / alpha`."""
    scale, scale_next = alpha(sigma, flow), alpha(sigma_next, flow)
    part = ancestral_step(sigma / scale, sigma_next / scale_next, eta)
    kept = part.down * scale / sigma
    x = x * (scale_next / scale * kept) + denoised * (scale_next * (1 - kept))
    return x + path(sigma, sigma_next) * (scale_next * s_noise * part.up) if part.up > 0.0 and s_noise > 0.0 else x


def dpmpp_2m_sde(
    x: Tensor,
    trajectory: Trajectory,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    solver_type: Literal["midpoint", "heun"] = "midpoint",
) -> Sampling:
    """SDE-DPM-Solver++(2M): the previous estimate gives the second order; `solver_type` is how it is weighed."""
    if trajectory.count < 1:
        return x
    flow, path = trajectory.is_flow, brownian_path(trajectory)
    sigmas = finite_sigmas(trajectory)
    previous: Tensor | None = None
    h_previous = 0.0
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = (yield DenoiseRequest(x, sigma, step)).denoised
        if sigma_next == 0.0:
            x = denoised
            continue
        h = half_log_snr(sigma_next, flow) - half_log_snr(sigma, flow)
        h_eta = h * (eta + 1)
        gained = alpha(sigma_next, flow) * -math.expm1(-h_eta)
        x = x * (sigma_next / sigma * math.exp(-h * eta)) + denoised * gained
        if previous is not None:
            weight = gained / 2 if solver_type == "midpoint" else alpha(sigma_next, flow) * _phi_2(h_eta)
            x = x + (denoised - previous) * (weight * h / h_previous)
        x = _with_noise(x, sigma, sigma_next, h, eta, s_noise, path)
        previous, h_previous = denoised, h
    return x


def dpmpp_2m_sde_heun(x: Tensor, trajectory: Trajectory, *, eta: float = 1.0, s_noise: float = 1.0) -> Sampling:
    """`dpmpp_2m_sde` with the exact weight of a linear estimate."""
    return (yield from dpmpp_2m_sde(x, trajectory, eta=eta, s_noise=s_noise, solver_type="heun"))


def dpmpp_3m_sde(x: Tensor, trajectory: Trajectory, *, eta: float = 1.0, s_noise: float = 1.0) -> Sampling:
    """SDE-DPM-Solver++(3M): two previous estimates.

    The weight of the second difference is the one of the authors' code, half of the interpolating polynomial's: the order stays 2.
    """
    if trajectory.count < 1:
        return x
    flow, path = trajectory.is_flow, brownian_path(trajectory)
    sigmas = finite_sigmas(trajectory)
    history: list[tuple[Tensor, float]] = []  # (denoised, h) of up to two steps, the last one first
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = (yield DenoiseRequest(x, sigma, step)).denoised
        if sigma_next == 0.0:
            x = denoised
            continue
        h = half_log_snr(sigma_next, flow) - half_log_snr(sigma, flow)
        h_eta = h * (eta + 1)
        scale = alpha(sigma_next, flow)
        x = x * (sigma_next / sigma * math.exp(-h * eta)) + denoised * (scale * -math.expm1(-h_eta))
        phi_2 = _phi_2(h_eta)
        if len(history) == 2:
            (last, h_last), (before, h_before) = history
            r0, r1 = h_last / h, h_before / h
            slope_0, slope_1 = (denoised - last) / r0, (last - before) / r1
            bend = (slope_0 - slope_1) / (r0 + r1)
            x = x + (slope_0 + bend * r0) * (scale * phi_2) - bend * (scale * (phi_2 / h_eta - 0.5))
        elif history:
            last, h_last = history[0]
            x = x + (denoised - last) * (scale * phi_2 * h / h_last)
        x = _with_noise(x, sigma, sigma_next, h, eta, s_noise, path)
        history = [(denoised, h), *history][:2]
    return x


def _phi_2(h: float) -> float:
    return math.expm1(-h) / h + 1.0


def _with_noise(x: Tensor, sigma: float, sigma_next: float, h: float, eta: float, s_noise: float, path: BrownianPath) -> Tensor:
    """`x` with the noise that the SDE gathers over a step of `h` in lambda."""
    if eta <= 0.0 or s_noise <= 0.0:
        return x
    return x + path(sigma, sigma_next) * (sigma_next * s_noise * math.sqrt(-math.expm1(-2 * h * eta)))
