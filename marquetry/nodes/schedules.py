"""SIGMAS: schedules as nodes, and what can be done to a list of noise levels."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import Annotated, Any, Literal, NamedTuple

from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.lazy import torch
from marquetry.engine.ports import ChoiceOf, Model, Named, Range, Sigmas, Tip
from marquetry.engine.sampling import schedules
from marquetry.engine.sampling.names import SCHEDULE_NAMES

SCHEDULERS = "sampling/custom_sampling/schedulers"
SIGMAS = "sampling/custom_sampling/sigmas"

Steps = Annotated[int, Range(1, 10000)]
Share = Annotated[float, Range(0.0, 1.0, step=0.01)]
Level = Annotated[float, Range(0.0, 5000.0, step=0.01, round=False)]
Power = Annotated[float, Range(0.0, 100.0, step=0.01, round=False)]

LOWEST_START = 0.0001  # a sampler can't start at level 0


class SplitLevels(NamedTuple):
    high_sigmas: Sigmas
    low_sigmas: Sigmas


@node(id="BasicScheduler", title="BasicScheduler", category=SCHEDULERS)
def basic_scheduler(
    *, model: Model, scheduler: Annotated[str, ChoiceOf(lambda: SCHEDULE_NAMES)], steps: Steps = 20, denoise: Share = 1.0
) -> Sigmas:
    """A schedule by name over the levels that the model knows; with `denoise` below 1 the last `steps` of a longer one."""
    if denoise == 1.0:
        return schedules.schedule(scheduler, model.sampling, steps)[-(steps + 1) :]
    if denoise <= 0.0:
        return torch.zeros(0)
    return schedules.schedule(scheduler, model.sampling, int(steps / denoise))[-(steps + 1) :]


@node(id="KarrasScheduler", title="KarrasScheduler", category=SCHEDULERS)
def karras_scheduler(steps: Steps = 20, sigma_max: Level = 14.614642, sigma_min: Level = 0.0291675, rho: Power = 7.0) -> Sigmas:
    """Even spacing of the `rho`-th root of the level: more steps at low noise."""
    return schedules.karras(steps, sigma_min, sigma_max, rho)


@node(id="ExponentialScheduler", title="ExponentialScheduler", category=SCHEDULERS)
def exponential_scheduler(steps: Steps = 20, sigma_max: Level = 14.614642, sigma_min: Level = 0.0291675) -> Sigmas:
    """Each level is the same part of the one before it."""
    return schedules.exponential(steps, sigma_min, sigma_max)


@node(id="PolyexponentialScheduler", title="PolyexponentialScheduler", category=SCHEDULERS)
def polyexponential_scheduler(steps: Steps = 20, sigma_max: Level = 14.614642, sigma_min: Level = 0.0291675, rho: Power = 1.0) -> Sigmas:
    """The logarithm of the level follows a polynomial of degree `rho`."""
    return schedules.polyexponential(steps, sigma_min, sigma_max, rho)


@node(id="LaplaceScheduler", title="LaplaceScheduler", category=SCHEDULERS)
def laplace_scheduler(
    steps: Steps = 20,
    sigma_max: Level = 14.614642,
    sigma_min: Level = 0.0291675,
    mu: Annotated[float, Range(-10.0, 10.0, step=0.1, round=False)] = 0.0,
    beta: Annotated[float, Range(0.0, 10.0, step=0.1, round=False)] = 0.5,
) -> Sigmas:
    """Levels whose logarithm is spread like a Laplace distribution. Ends at `sigma_min`, not at 0."""
    return schedules.laplace(steps, sigma_min, sigma_max, mu, beta)


@node(id="SDTurboScheduler", title="SDTurboScheduler", category=SCHEDULERS)
def sd_turbo_scheduler(model: Model, steps: Annotated[int, Range(1, 10)] = 1, denoise: Share = 1.0) -> Sigmas:
    """The few levels that adversarially distilled models were trained at."""
    return schedules.turbo(model.sampling, steps, denoise)


@node(id="BetaSamplingScheduler", title="BetaSamplingScheduler", category=SCHEDULERS)
def beta_scheduler(
    model: Model,
    steps: Steps = 20,
    alpha: Annotated[float, Range(0.0, 50.0, step=0.01, round=False)] = 0.6,
    beta: Annotated[float, Range(0.0, 50.0, step=0.01, round=False)] = 0.6,
) -> Sigmas:
    """Levels at quantiles of a beta distribution over the model's times: with both below 1, more steps at both ends."""
    return schedules.beta(model.sampling, steps, alpha, beta)


@node(id="VPScheduler", title="VPScheduler", category=SCHEDULERS)
def vp_scheduler(
    steps: Steps = 20,
    beta_d: Level = 19.9,
    beta_min: Level = 0.1,
    eps_s: Annotated[float, Range(0.0, 1.0, step=0.0001, round=False)] = 0.001,
) -> Sigmas:
    """Levels of the continuous variance-preserving process at even times from 1 to `eps_s`."""
    return schedules.variance_preserving(steps, beta_d, beta_min, eps_s)


@node(id="ManualSigmas", title="ManualSigmas", category="_for_testing/custom_sampling", experimental=True)
def manual_sigmas(sigmas: str = "1, 0.5") -> Sigmas:
    """The numbers in a text, in their order."""
    return torch.tensor([float(number) for number in re.findall(r"[-+]?(?:\d+\.?\d*|\.\d+)", sigmas)], dtype=torch.float32)


@node(id="SplitSigmas", title="SplitSigmas", category=SIGMAS)
def split_sigmas(sigmas: Sigmas, step: Annotated[int, Range(0, 10000)] = 0) -> SplitLevels:
    """The levels up to a step, and from it on; the level at the step is in both."""
    return SplitLevels(sigmas[: step + 1], sigmas[step:])


@node(id="SplitSigmasDenoise", title="SplitSigmasDenoise", category=SIGMAS)
def split_sigmas_denoise(sigmas: Sigmas, denoise: Share = 1.0) -> SplitLevels:
    """Splits so that the second part is the share `denoise` of all steps; the level between them is in both parts."""
    steps = max(sigmas.shape[-1] - 1, 0)
    later = round(steps * denoise)
    return SplitLevels(sigmas[: sigmas.shape[-1] - later], sigmas[-(later + 1) :])


@node(id="FlipSigmas", title="FlipSigmas", category=SIGMAS)
def flip_sigmas(sigmas: Sigmas) -> Sigmas:
    """The levels from last to first, for unsampling; a 0 that comes first becomes 0.0001."""
    flipped = sigmas.flip(0)
    if len(flipped) and flipped[0] == 0:
        flipped[0] = LOWEST_START
    return flipped


@node(id="SetFirstSigma", title="SetFirstSigma", category=SIGMAS)
def set_first_sigma(sigmas: Sigmas, sigma: Annotated[float, Range(0.0, 20000.0, step=0.001, round=False)] = 136.0) -> Sigmas:
    """The same levels with another first one."""
    if not len(sigmas):
        raise NodeFailed("there is no first level to set: the list of sigmas is empty")
    changed = sigmas.clone()
    changed[0] = sigma
    return changed


@node(id="ExtendIntermediateSigmas", title="ExtendIntermediateSigmas", category=SIGMAS)
def extend_intermediate_sigmas(
    *,
    sigmas: Sigmas,
    steps: Annotated[int, Range(1, 100)] = 2,
    start_at_sigma: Annotated[float, Range(-1.0, 20000.0, step=0.01, round=False)] = -1.0,
    end_at_sigma: Annotated[float, Range(0.0, 20000.0, step=0.01, round=False)] = 12.0,
    spacing: Literal["linear", "cosine", "sine"],
) -> Sigmas:
    """Makes `steps` steps of each one that begins between `end_at_sigma` and `start_at_sigma` (-1: no upper limit)."""
    highest = math.inf if start_at_sigma < 0 else start_at_sigma
    shares = [_spaced(part / steps, spacing) for part in range(1, steps)]
    levels = sigmas.tolist()
    extended: list[float] = []
    for level, following in pairwise(levels):
        extended.append(level)
        if end_at_sigma <= level <= highest:
            extended += [level + share * (following - level) for share in shares]
    return torch.tensor(extended + levels[-1:], dtype=torch.float32)


def _spaced(part: float, spacing: str) -> float:
    match spacing:
        case "cosine":
            return math.sin(part * math.pi / 2)
        case "sine":
            return 1 - math.cos(part * math.pi / 2)
        case _:
            return part


@node(id="SamplingPercentToSigma", title="SamplingPercentToSigma", category=SIGMAS)
def sampling_percent_to_sigma(
    model: Model,
    sampling_percent: Annotated[float, Range(0.0, 1.0, step=0.0001)] = 0.0,
    return_actual_sigma: Annotated[
        bool, Tip("At 0 and 1, give the model's highest and lowest level in place of the limits that intervals are tested with.")
    ] = False,
) -> Annotated[float, Named("sigma_value")]:
    """The noise level after that part of the way from pure noise."""
    sampling: Any = model.sampling
    if return_actual_sigma and sampling_percent in (0.0, 1.0):
        return float(sampling.sigma_max if sampling_percent == 0.0 else sampling.sigma_min)
    return float(sampling.percent_to_sigma(sampling_percent))
