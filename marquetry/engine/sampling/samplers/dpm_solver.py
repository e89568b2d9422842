"""DPM-Solver (Lu et al. 2022) of orders 1 to 3, with evenly spaced or adaptive steps in t = -log(sigma)."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import TYPE_CHECKING

from marquetry.engine.lazy import torch
from marquetry.engine.sampling.sampler import Denoised, DenoiseRequest, Sampling, Trajectory
from marquetry.engine.sampling.snr import ancestral_step

if TYPE_CHECKING:
    from torch import Tensor

Part = Generator[DenoiseRequest, Denoised, "Tensor"]
MAX_ADAPTIVE_STEPS = 10_000


def _noise(x: Tensor, t: float, step: int) -> Part:
    """The noise seen in `x` [B, C, h, w] at `t`; same shape."""
    answer = yield DenoiseRequest(x, math.exp(-t), step)
    return (x - answer.denoised) * math.exp(t)


def _second(x: Tensor, eps: Tensor, t: float, h: float, step: int, r: float) -> Part:
    """DPM-Solver-2 over `h` with the inner point at `r`, given the noise `eps` at `t`."""
    eps_inner = yield from _inner(x, eps, t, r * h, step)
    return x - (eps + (eps_inner - eps) / (2 * r)) * (math.exp(-t - h) * math.expm1(h))


def _inner(x: Tensor, eps: Tensor, t: float, h: float, step: int) -> Part:
    """The noise at the end of a first-order step over `h`."""
    return (yield from _noise(x - eps * (math.exp(-t - h) * math.expm1(h)), t + h, step))


def _third(x: Tensor, eps: Tensor, eps_first: Tensor, t: float, h: float, step: int, r1: float = 1 / 3, r2: float = 2 / 3) -> Part:
    """DPM-Solver-3 over `h`, given the noise at `t` and at the first inner point `t + r1 * h`."""
    second = t + r2 * h
    growth = math.expm1(r2 * h)
    bend = (eps_first - eps) * (math.exp(-second) * (r2 / r1) * (growth / (r2 * h) - 1))
    eps_second = yield from _noise(x - eps * (math.exp(-second) * growth) - bend, second, step)
    growth = math.expm1(h)
    return x - eps * (math.exp(-t - h) * growth) - (eps_second - eps) * (math.exp(-t - h) / r2 * (growth / h - 1))


def _limits(trajectory: Trajectory) -> tuple[float, float]:
    """(first, last) t of a trajectory; level 0 lies infinitely far, so the level before it is the last."""
    positive = [sigma for sigma in trajectory.sigmas if sigma > 0]
    return -math.log(positive[0]), -math.log(positive[-1])


def dpm_fast(x: Tensor, trajectory: Trajectory, *, eta: float = 0.0, s_noise: float = 1.0) -> Sampling:
    """DPM-Solver-fast: third-order steps with as many evaluations in all as the trajectory has steps. Ends at the lowest level above 0."""
    evaluations = trajectory.count
    if evaluations < 1:
        return x
    start, end = _limits(trajectory)
    if start == end:
        return (yield DenoiseRequest(x, math.exp(-start), 0)).denoised
    steps = evaluations // 3 + 1
    orders = [3] * (steps - 2) + [2, 1] if evaluations % 3 == 0 else [3] * (steps - 1) + [evaluations % 3]
    times = [start + (end - start) * index / steps for index in range(steps + 1)]
    done = 0
    for order, t, t_next in zip(orders, times, times[1:], strict=False):
        part = ancestral_step(math.exp(-t), math.exp(-t_next), eta)
        aim = min(end, -math.log(part.down)) if part.down > 0.0 else end
        up = math.sqrt(max(math.exp(-2 * t_next) - math.exp(-2 * aim), 0.0))
        eps = yield from _noise(x, t, done)
        h = aim - t
        match order:
            case 1:
                x = x - eps * (math.exp(-aim) * math.expm1(h))
            case 2:
                x = yield from _second(x, eps, t, h, done, r=1 / 2)
            case _:
                eps_inner = yield from _inner(x, eps, t, h / 3, done)
                x = yield from _third(x, eps, eps_inner, t, h, done)
        done += order
        if up > 0.0 and eta > 0.0:
            x = x + trajectory.noise.draw() * (s_noise * up)
    return x


def dpm_adaptive(
    x: Tensor,
    trajectory: Trajectory,
    *,
    order: int = 3,
    rtol: float = 0.05,
    atol: float = 0.0078,
    h_init: float = 0.05,
    pcoeff: float = 0.0,
    icoeff: float = 1.0,
    dcoeff: float = 0.0,
    accept_safety: float = 0.81,
    eta: float = 0.0,
    s_noise: float = 1.0,
) -> Sampling:
    """DPM-Solver-12 or -23 with the step size under a PID controller (Lu et al. 2022, appendix C). Ends at the lowest level above 0.

    The trajectory gives only the limits. Raises ValueError for an `order` other than 2 or 3.
    """
    if order not in (2, 3):
        raise ValueError("order must be 2 or 3")
    if trajectory.count < 1:
        return x
    t, end = _limits(trajectory)
    if t == end:
        return (yield DenoiseRequest(x, math.exp(-t), 0)).denoised
    previous, h, step = x, h_init, 0
    errors: list[float] = []
    rate = 1.5 if eta > 0.0 else order
    exponents = ((pcoeff + icoeff + dcoeff) / rate, -(pcoeff + 2 * dcoeff) / rate, dcoeff / rate)
    while t < end - 1e-5 and step < MAX_ADAPTIVE_STEPS:
        aim, up = min(end, t + h), 0.0
        if eta > 0.0:
            part = ancestral_step(math.exp(-t), math.exp(-aim), eta)
            down = min(end, -math.log(part.down)) if part.down > 0.0 else end
            up = math.sqrt(max(math.exp(-2 * aim) - math.exp(-2 * down), 0.0))
        else:
            down = aim
        eps = yield from _noise(x, t, step)
        span = down - t
        if order == 2:
            low = x - eps * (math.exp(-down) * math.expm1(span))
            high = yield from _second(x, eps, t, span, step, r=1 / 2)
        else:
            eps_inner = yield from _inner(x, eps, t, span / 3, step)
            low = x - (eps + (eps_inner - eps) * 1.5) * (math.exp(-down) * math.expm1(span))
            high = yield from _third(x, eps, eps_inner, t, span, step)
        tolerance = torch.maximum(low.abs(), previous.abs()).mul_(rtol).clamp_min_(atol)
        error = float(torch.linalg.vector_norm((low - high) / tolerance)) / math.sqrt(x.numel())
        inverse = 1.0 / (error + 1e-8)
        errors = errors or [inverse] * 3
        errors[0] = inverse
        factor = 1.0 + math.atan(math.prod(value**power for value, power in zip(errors, exponents, strict=True)) - 1.0)
        if factor >= accept_safety:
            errors = [errors[0], errors[0], errors[1]]
            previous, t = low, aim
            x = high + trajectory.noise.draw() * (s_noise * up) if up > 0.0 else high
        h *= factor
        step += 1
    return x
