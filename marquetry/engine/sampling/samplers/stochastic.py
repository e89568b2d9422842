"""Solvers of the reverse-time SDE in exponential form: ER-SDE and SEEDS."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from marquetry.engine.sampling.sampler import DenoiseRequest, Sampling, Trajectory
from marquetry.engine.sampling.samplers.adams import lagrange_weights
from marquetry.engine.sampling.snr import alpha, finite_sigmas, from_half_log_snr, half_log_snr

if TYPE_CHECKING:
    from torch import Tensor


def er_sde_noise_scale(level: float) -> float:
    """The noise scaling that Cui et al. 2023 recommend (ER-SDE 5), of a level `sigma / alpha`."""
    return level * (math.exp(level**0.3) + 10.0)


def er_sde(
    x: Tensor,
    trajectory: Trajectory,
    *,
    s_noise: float = 1.0,
    noise_scaler: Callable[[float], float] | None = None,
    max_stage: int = 3,
) -> Sampling:
    """Extended reverse-time SDE solver (Cui et al. 2023, algorithms 1 to 3), of order `max_stage` (1 to 3).

    `noise_scaler` is their phi: `level` itself gives the ODE, faster growth more noise.
    """
    scaler = noise_scaler or er_sde_noise_scale
    flow = trajectory.is_flow
    sigmas = finite_sigmas(trajectory)
    levels = [sigma / alpha(sigma, flow) for sigma in sigmas]
    previous: Tensor | None = None
    previous_slope: Tensor | None = None
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = (yield DenoiseRequest(x, sigma, step)).denoised
        if sigma_next == 0.0:
            x = denoised
            continue
        level, level_next = levels[step], levels[step + 1]
        scale_next = alpha(sigma_next, flow)
        scaled_next = scaler(level_next)
        kept = scaled_next / scaler(level)
        x = x * (scale_next / alpha(sigma, flow) * kept) + denoised * (scale_next * (1 - kept))
        slope: Tensor | None = None
        if previous is not None and max_stage >= 2:
            change = level_next - level
            slope = (denoised - previous) / (level - levels[step - 1])
            x = x + slope * (scale_next * (change + scaled_next * _integral(scaler, level_next, level)))
            if previous_slope is not None and max_stage >= 3:
                bend = (slope - previous_slope) / ((level - levels[step - 2]) / 2)
                moment = _integral(scaler, level_next, level, about=level)
                x = x + bend * (scale_next * (change**2 / 2 + scaled_next * moment))
        if s_noise > 0.0:
            variance = level_next**2 - (level * kept) ** 2
            x = x + trajectory.noise.draw() * (scale_next * s_noise * math.sqrt(max(variance, 0.0)))
        previous, previous_slope = denoised, slope
    return x


def _integral(scaler: Callable[[float], float], low: float, high: float, about: float | None = None) -> float:
    """Integral of `1 / scaler(level)` over `low..high`, or of `(level - about) / scaler(level)`; taken in log(level), where it is smooth."""

    def measure(log_level: float) -> float:
        level = math.exp(log_level)
        return level * (1.0 if about is None else level - about) / scaler(level)

    return lagrange_weights([0.0], math.log(low), math.log(high), measure)[0]


def seeds_2(
    x: Tensor,
    trajectory: Trajectory,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    r: float = 0.5,
    solver_type: Literal["phi_1", "phi_2"] = "phi_1",
) -> Sampling:
    """SEEDS-2 (Gonzalez et al. 2023): two evaluations a step, the second at `r` of it, both on one noise path.

    "phi_1" mixes the two estimates as in DPM-Solver++(2S); "phi_2" integrates the line through them exactly.
    """
    return (yield from _seeds(x, trajectory, eta, s_noise, (r,), exact=solver_type == "phi_2"))


def seeds_3(
    x: Tensor, trajectory: Trajectory, *, eta: float = 1.0, s_noise: float = 1.0, r_1: float = 1 / 3, r_2: float = 2 / 3
) -> Sampling:
    """SEEDS-3 (Gonzalez et al. 2023): three evaluations a step, at 0, `r_1` and `r_2` of it, all on one noise path."""
    return (yield from _seeds(x, trajectory, eta, s_noise, (r_1, r_2), exact=True))


def _seeds(x: Tensor, trajectory: Trajectory, eta: float, s_noise: float, inner_points: tuple[float, ...], exact: bool) -> Sampling:
    flow = trajectory.is_flow
    sigmas = finite_sigmas(trajectory)
    noisy = eta > 0.0 and s_noise > 0.0
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        first = (yield DenoiseRequest(x, sigma, step)).denoised
        if sigma_next == 0.0:
            x = first
            continue
        start, end = half_log_snr(sigma, flow), half_log_snr(sigma_next, flow)
        h = end - start
        points = [*((part, from_half_log_snr(start + part * h, flow)) for part in inner_points), (1.0, sigma_next)]
        ahead = x
        gathered: Tensor | float = 0.0  # the path's noise so far, in units of sigma
        reached, latest, latest_part = 0.0, first, 0.0
        for stage, (part, inner) in enumerate(points):
            span = part * h * (eta + 1)
            scale = alpha(inner, flow)
            ahead = x * (inner / sigma * math.exp(-part * h * eta)) + first * (scale * -math.expm1(-span))
            if latest_part > 0.0:
                linear = part * (math.expm1(-span) / span + 1.0) if exact else -math.expm1(-span) * part / 2
                weight = linear / latest_part
                ahead = ahead + (latest - first) * (scale * weight)
            if noisy:
                passed = (part - reached) * h * eta
                gathered = gathered * math.exp(-passed) + trajectory.noise.draw() * math.sqrt(-math.expm1(-2 * passed))
                ahead = ahead + gathered * (inner * s_noise)
            if stage < len(inner_points):
                latest = (yield DenoiseRequest(ahead, inner, step)).denoised
                reached, latest_part = part, part
        x = ahead
    return x
