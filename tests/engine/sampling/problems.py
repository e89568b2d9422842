"""Denoisers whose answers are known, and a driver that serves a sampler's requests from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from torch import Tensor

from marquetry.engine.sampling.latent_format import LatentFormat
from marquetry.engine.sampling.model import CONTEXT
from marquetry.engine.sampling.model_sampling import DiscreteSampling, FlowSampling, ModelSampling
from marquetry.engine.sampling.noise import NoiseSource
from marquetry.engine.sampling.registry import SAMPLERS
from marquetry.engine.sampling.sampler import Denoised, Sampling, Trajectory

Denoiser = Callable[[Tensor, float], Tensor]

VARIANCE_EXPLODING = DiscreteSampling.scaled_linear()
FLOW = FlowSampling(1.0)
CPU = torch.device("cpu")
TINY_FORMAT = LatentFormat(channels=4, scale_factor=0.25, rgb_factors=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.0, 0.0, 0.0)))


def gaussian_denoiser(mean: float, deviation: float, flow: bool = False) -> Denoiser:
    """The exact posterior mean for data that is Normal(mean, deviation**2)."""

    def denoise(x: Tensor, sigma: float) -> Tensor:
        scale = 1.0 - sigma if flow else 1.0
        gain = scale * deviation**2 / (scale**2 * deviation**2 + sigma**2)
        return mean + gain * (x - scale * mean)

    return denoise


def marginal(sigma: float, mean: float, deviation: float, flow: bool = False) -> tuple[float, float]:
    """Mean and deviation of such data with noise of level `sigma`."""
    scale = 1.0 - sigma if flow else 1.0
    return scale * mean, float((scale**2 * deviation**2 + sigma**2) ** 0.5)


def gaussian_flow(x: Tensor, sigma: float, sigma_end: float, mean: float, deviation: float, flow: bool = False) -> Tensor:
    """Where the probability flow carries `x` from `sigma` to `sigma_end` for such data: it keeps the standard score."""
    (centre, spread), (centre_end, spread_end) = marginal(sigma, mean, deviation, flow), marginal(sigma_end, mean, deviation, flow)
    return (x - centre) / spread * spread_end + centre_end


def toy_denoiser(x: Tensor, sigma: float) -> Tensor:
    """Not linear in `x`, smooth in both: tanh at a width that grows with the noise."""
    return torch.tanh(x / (1.0 + sigma**2) ** 0.5 * 1.3 + 0.2) * 0.9


def serve(run: Sampling, denoise: Denoiser, unconditional: Denoiser | None = None) -> tuple[Tensor, list[float]]:
    """The result of a run, and the levels that it asked for."""
    asked: list[float] = []
    answer: Denoised | None = None
    while True:
        try:
            request = next(run) if answer is None else run.send(answer)
        except StopIteration as finished:
            return finished.value, asked
        asked.append(request.sigma)
        uncond = (unconditional or denoise)(request.x, request.sigma) if request.uncond else None
        answer = Denoised(denoise(request.x, request.sigma), uncond)


def sample(
    name: str,
    x: Tensor,
    sigmas: Sequence[float],
    denoise: Denoiser,
    *,
    seed: int = 0,
    sampling: ModelSampling = VARIANCE_EXPLODING,
    unconditional: Denoiser | None = None,
    **options: Any,
) -> Tensor:
    """The result of the sampler called `name`."""
    trajectory = Trajectory(tuple(sigmas), sampling, NoiseSource(seed, x))
    return serve(SAMPLERS[name](x, trajectory, **options), denoise, unconditional)[0]


def geometric(count: int, high: float, low: float) -> list[float]:
    """`count` steps of equal ratio from `high` to `low`."""
    levels: list[float] = torch.logspace(0, 1, count + 1, base=low / high, dtype=torch.float64).mul(high).tolist()
    return levels


@dataclass(frozen=True, eq=False)
class GaussianModel:
    """A model that knows its answers: what a prompt stands for is data that is Normal(mean of its tokens, deviation**2).

    `calls` keeps (batch, token count) of every forward pass, also of copies.
    """

    sampling: ModelSampling = VARIANCE_EXPLODING
    latent_format: LatentFormat = TINY_FORMAT
    device: torch.device = CPU
    dtype: torch.dtype = torch.float32
    options: Mapping[str, Any] = field(default_factory=dict)
    deviation: float = 0.5
    calls: list[tuple[int, int]] = field(default_factory=list)

    def with_sampling(self, sampling: ModelSampling) -> Self:
        return replace(self, sampling=sampling)

    def with_options(self, **options: Any) -> Self:
        return replace(self, options={**self.options, **options})

    @contextmanager
    def loaded(self) -> Iterator[None]:
        yield

    def conditioning(self, embedding: Tensor, extras: Mapping[str, Any], *, batch: int, latent_shape: tuple[int, ...]) -> dict[str, Any]:
        values: dict[str, Any] = {CONTEXT: embedding.expand(batch, -1, -1)}
        return values | {key: extras[key] for key in ("concat", "control") if key in extras}

    def denoise(self, x: Tensor, sigma: Tensor, conditioning: dict[str, Any]) -> Tensor:
        context: Tensor = conditioning[CONTEXT]
        self.calls.append((x.shape[0], context.shape[1]))
        level = sigma.reshape(-1, 1, 1, 1)
        mean = context.mean(dim=(1, 2)).reshape(-1, 1, 1, 1)
        scale = 1.0 - level if self.sampling.is_flow else 1.0
        return mean + (x - scale * mean) * (scale * self.deviation**2 / (scale**2 * self.deviation**2 + level**2))


def prompt(mean: float, tokens: int = 3, **extras: Any) -> list[Any]:
    """One entry of a CONDITIONING that stands for data around `mean`."""
    return [torch.full((1, tokens, 8), mean), extras]
