"""Schedules: which noise levels a sampler visits, from highest to 0, as float32 `[steps + 1]`.

A schedule by name is made from a model's noise levels: `schedule("karras", sampling, 20)`. `SCHEDULES` holds the built-in ones;
`register_schedule` adds to it. The named functions below take explicit limits instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from marquetry.engine.errors import NodeFailed
from marquetry.engine.lazy import numpy, torch
from marquetry.engine.sampling.model_sampling import ModelSampling
from marquetry.engine.sampling.names import SCHEDULE_NAMES

if TYPE_CHECKING:
    from torch import Tensor

Schedule = Callable[[ModelSampling, int], "Tensor"]

DISCARDS_PENULTIMATE = frozenset({"dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2"})
"""Samplers whose last-but-one noise level is left out: their second evaluation would fall between it and 0."""


def schedule(name: str, sampling: ModelSampling, steps: int) -> Tensor:
    """The noise levels of the schedule called `name`. Raises NodeFailed for a name that nobody registered."""
    make = SCHEDULES.get(name)
    if make is None:
        raise NodeFailed(f"there is no schedule named '{name}'; known are {', '.join(SCHEDULE_NAMES)}", name=name)
    return make(sampling, steps)


def register_schedule(name: str, make: Schedule) -> None:
    """Offer another schedule under `name`, last in the list; a name that is taken is replaced."""
    SCHEDULES[name] = make
    if name not in SCHEDULE_NAMES:
        SCHEDULE_NAMES.append(name)


def partial_schedule(name: str, sampling: ModelSampling, steps: int, denoise: float = 1.0, *, sampler_name: str = "") -> Tensor:
    """The last `steps` steps of a schedule so long that they are its part `denoise` (0..1]; empty `[0]` when `denoise` is 0 or less.

    `sampler_name` decides whether the last-but-one level is left out (see DISCARDS_PENULTIMATE).
    """
    if denoise > 0.9999:
        return _for_sampler(name, sampling, steps, sampler_name)
    if denoise <= 0.0:
        return torch.zeros(0)
    return _for_sampler(name, sampling, int(steps / denoise), sampler_name)[-(steps + 1) :]


def _for_sampler(name: str, sampling: ModelSampling, steps: int, sampler_name: str) -> Tensor:
    if sampler_name not in DISCARDS_PENULTIMATE:
        return schedule(name, sampling, steps)
    sigmas = schedule(name, sampling, steps + 1)
    return torch.cat([sigmas[:-2], sigmas[-1:]])


def normal(sampling: ModelSampling, steps: int) -> Tensor:
    """Levels at evenly spaced times, both ends included; the time 0 of a flow model is itself level 0 and is not visited twice."""
    first, last = _time_limits(sampling)
    if math.isclose(float(sampling.sigma(torch.tensor(last))), 0.0, abs_tol=1e-5):
        return sampling.sigma(torch.linspace(first, last, steps + 1)).float().index_fill_(0, torch.tensor([steps]), 0.0)
    return _with_zero(sampling.sigma(torch.linspace(first, last, steps)))


def sgm_uniform(sampling: ModelSampling, steps: int) -> Tensor:
    """Levels at evenly spaced times, the lowest left out, as in Stability's generative-models."""
    first, last = _time_limits(sampling)
    return _with_zero(sampling.sigma(torch.linspace(first, last, steps + 1)[:-1]))


def simple(sampling: ModelSampling, steps: int) -> Tensor:
    """Every so-many-th entry of the table, from the highest."""
    stride = len(sampling.sigmas) / steps
    return _with_zero(sampling.sigmas[[-(1 + int(step * stride)) for step in range(steps)]])


def ddim_uniform(sampling: ModelSampling, steps: int) -> Tensor:
    """Entries of the table at a whole-number stride from its second (Song et al. 2020); the count of steps may differ from `steps`.

    A table that starts at 0 gives its zero to the schedule instead of a further one.
    """
    stride = max(len(sampling.sigmas) // steps, 1)
    rising = sampling.sigmas[1::stride]
    if math.isclose(float(sampling.sigmas[1]), 0.0, abs_tol=1e-5):
        stride = max(len(sampling.sigmas) // (steps + 1), 1)
        return sampling.sigmas[1::stride].flip(0)
    return _with_zero(rising.flip(0))


def beta(sampling: ModelSampling, steps: int, alpha: float = 0.6, beta: float = 0.6) -> Tensor:
    """Entries of the table at quantiles of a beta distribution (Lee et al. 2024, "Beta Sampling is All You Need"); doubles are dropped."""
    from scipy.stats import beta as beta_distribution

    quantiles = 1 - numpy.linspace(0, 1, steps, endpoint=False)
    times = numpy.rint(beta_distribution.ppf(quantiles, alpha, beta) * (len(sampling.sigmas) - 1)).astype(int).tolist()
    return _with_zero(sampling.sigmas[list(dict.fromkeys(times))])


def linear_quadratic(sampling: ModelSampling, steps: int, threshold: float = 0.025) -> Tensor:
    """A straight first half of small steps, then a parabola that meets it smoothly (Polyak et al. 2024, "Movie Gen", for few steps)."""
    if steps == 1:
        return torch.tensor([sampling.sigma_max, 0.0])
    straight = steps // 2
    curved = steps - straight
    slope = threshold / straight
    missing = straight - threshold * steps  # how far the straight line, in steps of its own slope, stays below 1 at the end
    curvature = missing / (straight * curved**2)
    tilt = slope - 2 * missing / curved**2
    rising = [slope * step for step in range(straight)]
    rising += [curvature * step**2 + tilt * step + curvature * straight**2 for step in range(straight, steps)]
    return torch.tensor([1.0 - part for part in rising] + [0.0]) * sampling.sigma_max


def kl_optimal(steps: int, sigma_min: float, sigma_max: float) -> Tensor:
    """Evenly spaced angles `atan(sigma)` (Sabour et al. 2024, "Align Your Steps", theorem 3.1)."""
    angles = torch.linspace(math.atan(sigma_max), math.atan(sigma_min), steps, dtype=torch.float64)
    return _with_zero(angles.tan())


def karras(steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """Even spacing of `sigma ** (1 / rho)` (Karras et al. 2022, equation 5)."""
    roots = torch.linspace(sigma_max ** (1 / rho), sigma_min ** (1 / rho), steps, dtype=torch.float64)
    return _with_zero(roots**rho)


def exponential(steps: int, sigma_min: float, sigma_max: float) -> Tensor:
    """Even spacing of `log(sigma)`."""
    return polyexponential(steps, sigma_min, sigma_max)


def polyexponential(steps: int, sigma_min: float, sigma_max: float, rho: float = 1.0) -> Tensor:
    """`log(sigma)` along a polynomial of degree `rho` (k-diffusion)."""
    ramp = torch.linspace(1.0, 0.0, steps, dtype=torch.float64) ** rho
    return _with_zero((ramp * (math.log(sigma_max) - math.log(sigma_min)) + math.log(sigma_min)).exp())


def variance_preserving(steps: int, beta_d: float = 19.9, beta_min: float = 0.1, epsilon_s: float = 1e-3) -> Tensor:
    """The continuous variance-preserving process with linear beta (Song et al. 2021) at even times from 1 to `epsilon_s`."""
    time = torch.linspace(1.0, epsilon_s, steps, dtype=torch.float64)
    return _with_zero((beta_d * time**2 / 2 + beta_min * time).expm1().sqrt())


def laplace(steps: int, sigma_min: float, sigma_max: float, mu: float = 0.0, beta: float = 0.5) -> Tensor:
    """Quantiles of a Laplace distribution of `log(sigma)` (Hang et al. 2024, "Improved Noise Schedule"); ends at `sigma_min`, not 0: `[steps]`."""
    offset = 0.5 - torch.linspace(0.0, 1.0, steps, dtype=torch.float64)
    logs = mu - beta * offset.sign() * (1 - 2 * offset.abs() + 1e-5).log()
    return logs.exp().clamp(sigma_min, sigma_max).float()


def turbo(sampling: ModelSampling, steps: int, denoise: float = 1.0) -> Tensor:
    """Levels at times 999, 899, ... (Sauer et al. 2023, adversarial distillation); `denoise` leaves out the first ones."""
    first = 10 - int(10 * denoise)
    times = (torch.arange(1, 11) * 100 - 1).flip(0)[first : first + steps]
    return _with_zero(sampling.sigma(times))


def _between(make: Callable[[int, float, float], Tensor]) -> Schedule:
    return lambda sampling, steps: make(steps, sampling.sigma_min, sampling.sigma_max)


def _time_limits(sampling: ModelSampling) -> tuple[float, float]:
    ends = sampling.timestep(torch.tensor([sampling.sigma_max, sampling.sigma_min]))
    return float(ends[0]), float(ends[1])


def _with_zero(sigmas: Tensor) -> Tensor:
    return torch.cat([sigmas.float(), torch.zeros(1)])


SCHEDULES: dict[str, Schedule] = {
    "simple": simple,
    "sgm_uniform": sgm_uniform,
    "karras": _between(karras),
    "exponential": _between(exponential),
    "ddim_uniform": ddim_uniform,
    "beta": beta,
    "normal": normal,
    "linear_quadratic": linear_quadratic,
    "kl_optimal": _between(kl_optimal),
}
