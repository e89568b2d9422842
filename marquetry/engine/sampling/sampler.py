"""Sampler: a generator that yields denoise requests and is sent denoised latents. It holds no model and touches no global state.

Whoever drives it may serve one request, or merge the requests of many runs into one forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from marquetry.engine.sampling.model_sampling import ModelSampling
from marquetry.engine.sampling.noise import NoiseSource

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class DenoiseRequest:
    """Asks for the clean latent in `x` [B, C, h, w] with noise of level `sigma`, in the step with index `step` (from 0).

    A step may need several requests. With `uncond` the answer must hold the unconditional estimate too.
    """

    x: Tensor
    sigma: float
    step: int
    uncond: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Denoised:
    """The answer: the guided estimate and, where it was asked for, the unconditional one; shaped like the request's `x`."""

    denoised: Tensor
    uncond_denoised: Tensor | None = None

    @property
    def unguided(self) -> Tensor:
        """The unconditional estimate; without a negative prompt that is the only estimate there is."""
        return self.denoised if self.uncond_denoised is None else self.uncond_denoised


Sampling: TypeAlias = "Generator[DenoiseRequest, Denoised, Tensor]"


@dataclass(frozen=True)
class Trajectory:
    """What a sampler is told beside its noisy start: the levels to visit, their meaning, and where its noise comes from.

    `sigmas` has steps + 1 falling levels, usually ending in 0.
    """

    sigmas: tuple[float, ...]
    sampling: ModelSampling
    noise: NoiseSource

    @property
    def is_flow(self) -> bool:
        return self.sampling.is_flow

    @property
    def count(self) -> int:
        return len(self.sigmas) - 1

    @property
    def lowest(self) -> float:
        """The lowest level above 0."""
        return min((sigma for sigma in self.sigmas if sigma > 0), default=0.0)

    def steps(self) -> Iterator[tuple[int, float, float]]:
        """(step, its level, the next level) for each step."""
        return ((step, sigma, self.sigmas[step + 1]) for step, sigma in enumerate(self.sigmas[:-1]))


Sampler: TypeAlias = "Callable[..., Sampling]"
"""`sampler(x, trajectory, **options)` starts a run from `x` [B, C, h, w], noisy at the trajectory's first level; it returns the latent at
the last level."""


@dataclass(frozen=True)
class SamplerChoice:
    """What travels as SAMPLER: a registered sampler's name and options of its function; or a `function` that is not registered.

    `inpaint_fresh_noise`: the part that is kept is noised anew from the seed + 1, not with the starting noise.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    inpaint_fresh_noise: bool = False
    function: Sampler | None = None
