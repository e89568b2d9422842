"""SA-Solver: stochastic Adams predictor and corrector (Xue et al. 2023)."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from marquetry.engine.sampling.sampler import DenoiseRequest, Sampling, Trajectory
from marquetry.engine.sampling.samplers.adams import lagrange_weights
from marquetry.engine.sampling.snr import alpha, finite_sigmas, half_log_snr

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT_START_PERCENT, DEFAULT_END_PERCENT = 0.2, 0.8


def tau_between(sigma_start: float, sigma_end: float, eta: float = 1.0) -> Callable[[float], float]:
    """Noise of strength `eta` from `sigma_start` down to `sigma_end`, and the ODE outside of that."""
    return lambda sigma: eta if sigma_end <= sigma <= sigma_start else 0.0


def adams_weights(nodes: Sequence[float], start: float, end: float, tau: float, simple_order_2: bool = False) -> list[float]:
    """How much each estimate, at lambda `nodes`, gives to a step from `start` to `end`, divided by alpha at its end.

    These are integrals of `c * exp(c * (lambda - end))` with `c = 1 + tau**2` times Lagrange polynomials (equations 13 and 17). With
    `simple_order_2` the linear part of a two-node step is `c * h**2 / 2` (appendix, where the exponential is taken as 1).
    """
    rate = 1.0 + tau**2
    if simple_order_2 and len(nodes) == 2:
        h = end - start
        total = -math.expm1(-rate * h)
        linear = rate * h**2 / 2 + total * (start - nodes[1])  # of (lambda - nodes[1])
        newest = linear / (nodes[0] - nodes[1])
        return [newest, total - newest]
    return lagrange_weights(nodes, start, end, lambda value: rate * math.exp(rate * (value - end)))


def sa_solver(
    x: Tensor,
    trajectory: Trajectory,
    *,
    tau_func: Callable[[float], float] | None = None,
    s_noise: float = 1.0,
    predictor_order: int = 3,
    corrector_order: int = 4,
    use_pece: bool = False,
    simple_order_2: bool = False,
) -> Sampling:
    """SA-Solver (Xue et al. 2023, algorithm 1). `tau_func` gives the noise's strength at a level; by default 1 in the middle of the way.

    With `use_pece` the corrected latent is evaluated again: two evaluations a step. `corrector_order` 0 leaves the corrector out.
    """
    flow, sampling = trajectory.is_flow, trajectory.sampling
    strength = tau_func or tau_between(sampling.percent_to_sigma(DEFAULT_START_PERCENT), sampling.percent_to_sigma(DEFAULT_END_PERCENT))
    sigmas = finite_sigmas(trajectory)
    lambdas = [half_log_snr(sigma, flow) if sigma > 0.0 else math.inf for sigma in sigmas]
    estimates: deque[Tensor] = deque(maxlen=max(predictor_order, corrector_order, 1))
    predicted, tau = x, 0.0
    noise: Tensor | None = None
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = (yield DenoiseRequest(predicted, sigma, step)).denoised
        estimates.appendleft(denoised)
        last = sigma_next == 0.0 and not use_pece
        if step == 0 or corrector_order == 0 or last:
            x = predicted
        else:
            x = _step(x, estimates, corrector_order, lambdas, step, step, sigmas, tau, flow, simple_order_2)
            x = x if noise is None else x + noise
            if use_pece:
                denoised = (yield DenoiseRequest(x, sigma, step)).denoised
                estimates[0] = denoised
        if sigma_next == 0.0:
            x = denoised
            continue
        tau = strength(sigma_next)
        predicted = _step(x, estimates, predictor_order, lambdas, step, step + 1, sigmas, tau, flow, simple_order_2)
        noise = None
        if tau > 0.0 and s_noise > 0.0:
            h = lambdas[step + 1] - lambdas[step]
            noise = trajectory.noise.draw() * (sigma_next * s_noise * math.sqrt(-math.expm1(-2 * tau**2 * h)))
            predicted = predicted + noise
    return x if not sigmas[1:] or sigmas[-1] == 0.0 else predicted


def _step(
    x: Tensor,
    estimates: Sequence[Tensor],
    order: int,
    lambdas: Sequence[float],
    newest: int,
    target: int,
    sigmas: Sequence[float],
    tau: float,
    flow: bool,
    simple_order_2: bool,
) -> Tensor:
    """From `x` at level `target - 1` to level `target`, without noise, by up to `order` estimates, the first at level `newest`."""
    count = min(order, len(estimates))
    start, end = lambdas[target - 1], lambdas[target]
    weights = adams_weights([lambdas[newest - back] for back in range(count)], start, end, tau, simple_order_2)
    moved = x * (sigmas[target] / sigmas[target - 1] * math.exp(-(tau**2) * (end - start)))
    scale = alpha(sigmas[target], flow)
    for weight, estimate in zip(weights, estimates, strict=False):
        moved = moved + estimate * (scale * weight)
    return moved


def sa_solver_pece(
    x: Tensor,
    trajectory: Trajectory,
    *,
    tau_func: Callable[[float], float] | None = None,
    s_noise: float = 1.0,
    predictor_order: int = 3,
    corrector_order: int = 4,
    simple_order_2: bool = False,
) -> Sampling:
    """SA-Solver that evaluates after the corrector too (Xue et al. 2023)."""
    return (
        yield from sa_solver(
            x,
            trajectory,
            tau_func=tau_func,
            s_noise=s_noise,
            predictor_order=predictor_order,
            corrector_order=corrector_order,
            use_pece=True,
            simple_order_2=simple_order_2,
        )
    )
