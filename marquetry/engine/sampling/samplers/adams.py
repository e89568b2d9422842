"""Adams-Bashforth methods on the slope d = (x - denoised) / sigma: LMS, iPNDM and DEIS."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from marquetry.engine.lazy import numpy
from marquetry.engine.sampling.sampler import DenoiseRequest, Sampling, Trajectory

if TYPE_CHECKING:
    from torch import Tensor

QUADRATURE_POINTS = 16
UNIFORM_WEIGHTS: tuple[tuple[float, ...], ...] = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)
VP_BETA_TIME_MIN, VP_SIGMA_MIN, VP_SIGMA_MAX = 1e-3, 0.002, 80.0


def lagrange_weights(nodes: Sequence[float], start: float, end: float, measure: Callable[[float], float] = lambda time: 1.0) -> list[float]:
    """Integrals over `start..end` of the polynomials that are 1 at one of `nodes` and 0 at the others, times `measure`.

    Gauss-Legendre quadrature: exact for polynomials, and to rounding for the smooth measures used here.
    """
    points, weights = numpy.polynomial.legendre.leggauss(QUADRATURE_POINTS)
    half = (end - start) / 2
    integrals = []
    for own, node in enumerate(nodes):
        others = [other for index, other in enumerate(nodes) if index != own]
        total = 0.0
        for point, weight in zip(points.tolist(), weights.tolist(), strict=True):
            time = start + half * (point + 1)
            total += weight * measure(time) * math.prod((time - other) / (node - other) for other in others)
        integrals.append(total * half)
    return integrals


Weights = Callable[[int, int], Sequence[float]]
"""(step, order) to the weights of the newest, the one before it, ... slope; they sum to the step's length."""


def _adams(x: Tensor, trajectory: Trajectory, max_order: int, weights: Weights) -> Sampling:
    slopes: deque[Tensor] = deque(maxlen=max_order)
    for step, sigma, sigma_next in trajectory.steps():
        denoised = (yield DenoiseRequest(x, sigma, step)).denoised
        if sigma_next == 0.0:
            x = denoised
            continue
        slopes.appendleft((x - denoised) / sigma)
        for weight, slope in zip(weights(step, len(slopes)), slopes, strict=True):
            x = x + slope * weight
    return x


def lms(x: Tensor, trajectory: Trajectory, *, order: int = 4) -> Sampling:
    """Linear multistep in sigma with weights for uneven steps (Adams-Bashforth; Karras et al. 2022 try it, k-diffusion names it)."""
    sigmas = trajectory.sigmas

    def weights(step: int, count: int) -> Sequence[float]:
        return lagrange_weights([sigmas[step - back] for back in range(count)], sigmas[step], sigmas[step + 1])

    return (yield from _adams(x, trajectory, order, weights))


def ipndm(x: Tensor, trajectory: Trajectory, *, max_order: int = 4) -> Sampling:
    """Improved pseudo numerical methods (Liu et al. 2022; Zhang and Chen 2023): Adams-Bashforth weights of even steps, whatever the steps."""
    sigmas = trajectory.sigmas

    def weights(step: int, count: int) -> Sequence[float]:
        return [weight * (sigmas[step + 1] - sigmas[step]) for weight in UNIFORM_WEIGHTS[count - 1]]

    return (yield from _adams(x, trajectory, max_order, weights))


def ipndm_v(x: Tensor, trajectory: Trajectory, *, max_order: int = 4) -> Sampling:
    """iPNDM with weights for uneven steps (Zhang and Chen 2023).

    The weights are exact at every order; code that circulates divides wrongly from order 3 on when the steps are uneven.
    """
    return (yield from lms(x, trajectory, order=max_order))


def deis(x: Tensor, trajectory: Trajectory, *, max_order: int = 3) -> Sampling:
    """tAB-DEIS (Zhang and Chen 2023): the noise is a polynomial in the time of a variance-preserving process."""
    sigmas = trajectory.sigmas
    beta_d, beta_min = _vp_betas()
    times = [_vp_time(sigma, beta_d, beta_min) for sigma in sigmas]

    def slope(time: float) -> float:
        """d sigma / d time."""
        exponent = beta_d * time**2 / 2 + beta_min * time
        return math.exp(exponent) * (beta_d * time + beta_min) / (2 * math.sqrt(math.expm1(exponent)))

    def weights(step: int, count: int) -> Sequence[float]:
        if count == 1:
            return [sigmas[step + 1] - sigmas[step]]
        return lagrange_weights([times[step - back] for back in range(count)], times[step], times[step + 1], slope)

    return (yield from _adams(x, trajectory, max_order, weights))


def _vp_betas() -> tuple[float, float]:
    """(beta_d, beta_min) of the process whose levels go from 0.002 at time 0.001 to 80 at time 1 (Karras et al. 2022, table 1)."""
    low, high = math.log1p(VP_SIGMA_MIN**2), math.log1p(VP_SIGMA_MAX**2)
    beta_d = 2 * (low / VP_BETA_TIME_MIN - high) / (VP_BETA_TIME_MIN - 1)
    return beta_d, high - beta_d / 2


def _vp_time(sigma: float, beta_d: float, beta_min: float) -> float:
    return (math.sqrt(beta_min**2 + 2 * beta_d * math.log1p(sigma**2)) - beta_min) / beta_d
