"""UniPC: a unified predictor and corrector (Zhao et al. 2023), multistep, on the denoised latent."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from marquetry.engine.lazy import numpy
from marquetry.engine.sampling.sampler import DenoiseRequest, Sampling, Trajectory
from marquetry.engine.sampling.samplers.euler import toward

if TYPE_CHECKING:
    from torch import Tensor

Variant = Literal["bh1", "bh2"]
MAX_ORDER = 3


def uni_weights(ratios: Sequence[float], h: float, variant: Variant) -> list[float]:
    """The weights of the differences `(D_i - D_0) / r_i` at `ratios` r_i (in steps of `h`) that match the exponential integral's moments.

    Solves equation 10 of the paper: row k says that the sum of `w_i * r_i ** (k - 1)` is `phi_{k+1}(-h) * h * k! / B(h)`.
    One earlier estimate is taken with weight 1/2 (section 3.3).
    """
    if len(ratios) == 1:
        return [0.5]
    hh = -h
    normaliser = hh if variant == "bh1" else math.expm1(hh)
    phi = math.expm1(hh) / hh - 1.0
    factorial = 1
    right: list[float] = []
    for index in range(1, len(ratios) + 1):
        right.append(phi * factorial / normaliser)
        factorial *= index + 1
        phi = phi / hh - 1.0 / factorial
    matrix = [[ratio**power for ratio in ratios] for power in range(len(ratios))]
    solved: list[float] = numpy.linalg.solve(numpy.array(matrix), numpy.array(right)).tolist()
    return solved


def uni_pc(x: Tensor, trajectory: Trajectory, *, variant: Variant = "bh1", order: int = MAX_ORDER) -> Sampling:
    """UniPC-`order` with B(h) = h ("bh1") or exp(h) - 1 ("bh2"); one evaluation a step, lower orders at both ends.

    In the frame `x / sigma` the flow of variance exploding, variance preserving and rectified-flow models is one equation.
    """
    sigmas = trajectory.sigmas
    order = min(order, max(trajectory.count - 1, 1))
    history: deque[tuple[Tensor, float]] = deque(maxlen=order)  # (denoised, t) with t = -log(sigma), the newest first
    start: Tensor | None = None  # the corrected latent at the previous level
    used = 1
    for step, sigma, sigma_next in trajectory.steps():
        denoised = (yield DenoiseRequest(x, sigma, step)).denoised
        if start is not None:
            x = _uni_step(start, sigmas[step - 1], sigma, history, used, variant, corrector=denoised)
        history.appendleft((denoised, -math.log(sigma)))
        start = x
        used = min(order, len(history), trajectory.count - step)
        x = denoised if sigma_next == 0.0 else _uni_step(start, sigma, sigma_next, history, used, variant)
    return x


def _uni_step(
    x: Tensor,
    sigma: float,
    sigma_next: float,
    history: Sequence[tuple[Tensor, float]],
    order: int,
    variant: Variant,
    corrector: Tensor | None = None,
) -> Tensor:
    """UniP of `order` over one step, or UniC of `order` + 1 when the estimate at its end is given as `corrector`."""
    newest, t = history[0]
    h = math.log(sigma / sigma_next)
    moved = toward(x, newest, sigma_next / sigma)
    ratios = [(earlier_t - t) / h for _, earlier_t in list(history)[1:order]]
    slopes = [(earlier - newest) / ratio for (earlier, _), ratio in zip(list(history)[1:order], ratios, strict=True)]
    if corrector is not None:
        ratios.append(1.0)
        slopes.append(corrector - newest)
    if not slopes:
        return moved
    scale = h if variant == "bh1" else -math.expm1(-h)
    for weight, slope in zip(uni_weights(ratios, h, variant), slopes, strict=True):
        moved = moved + slope * (scale * weight)
    return moved


def uni_pc_bh2(x: Tensor, trajectory: Trajectory) -> Sampling:
    """UniPC with B(h) = exp(h) - 1 (Zhao et al. 2023)."""
    return (yield from uni_pc(x, trajectory, variant="bh2"))
