"""Noise: drawn on the CPU from a seed, so that a seed means the same picture on every device."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from marquetry.engine.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

SEED_SPAN = 2**64
TREE_DIGITS = 6  # the Brownian tree rounds levels to so many decimals


def draw_noise(latent: Tensor, seed: int, batch_index: Sequence[int] | None = None) -> Tensor:
    """Standard normal noise of `latent`'s shape and dtype, drawn as float32 on the CPU.

    With `batch_index` [B], the i-th picture gets what the `batch_index[i]`-th of a full batch would have got, so that a latent taken out
    of a batch reproduces; equal indices get equal noise.
    """
    generator = torch.Generator("cpu").manual_seed(seed % SEED_SPAN)
    if batch_index is None:
        return torch.randn(latent.shape, generator=generator).to(latent.dtype)
    single = (1, *latent.shape[1:])
    drawn = [torch.randn(single, generator=generator) for _ in range(max(batch_index) + 1)]
    return torch.cat([drawn[index] for index in batch_index]).to(latent.dtype)


class LatentNoise(Protocol):
    """What travels as NOISE."""

    @property
    def seed(self) -> int: ...

    def generate_noise(self, latent: Mapping[str, Any]) -> Tensor:
        """Noise for a LATENT's samples, on the CPU."""
        ...


@dataclass(frozen=True)
class SeededNoise:
    """Noise from a seed."""

    seed: int

    def generate_noise(self, latent: Mapping[str, Any]) -> Tensor:
        return draw_noise(latent["samples"], self.seed, latent.get("batch_index"))


@dataclass(frozen=True)
class NoNoise:
    """Zeros: the latent is taken to be noisy already."""

    seed: int = 0

    def generate_noise(self, latent: Mapping[str, Any]) -> Tensor:
        return torch.zeros_like(latent["samples"], device="cpu")


BrownianPath = Callable[[float, float], "Tensor"]


class NoiseSource:
    """The randomness of one sampling run, apart from the starting noise.

    Sequential draws come from a CPU generator seeded with `seed + 1`: with `seed` itself the first draw would repeat the starting noise.
    The Brownian path is seeded with `seed`. Draws are float32 and have the shape, dtype and device of `like`.
    """

    def __init__(self, seed: int, like: Tensor) -> None:
        self._seed = seed
        self._like = like
        self._generator: torch.Generator | None = None

    def draw(self) -> Tensor:
        """The next standard normal draw."""
        if self._generator is None:
            self._generator = torch.Generator("cpu").manual_seed((self._seed + 1) % SEED_SPAN)
        return torch.randn(self._like.shape, generator=self._generator).to(self._like)

    def brownian(self, sigma_min: float, sigma_max: float) -> BrownianPath:
        """Increments of one Brownian path over the noise levels `sigma_min..sigma_max`, each scaled to unit variance.

        The path does not depend on where it is asked, so that the picture of an SDE sampler hardly changes with the count of steps
        (Li et al. 2020, the virtual Brownian tree).
        """
        import torchsde

        like = self._like
        tree = torchsde.BrownianTree(sigma_min, torch.zeros(like.shape), sigma_max, entropy=self._seed % SEED_SPAN)

        first, last = (round(end, TREE_DIGITS) for end in (sigma_min, sigma_max))

        def increment(sigma: float, sigma_next: float) -> Tensor:
            low, high = sorted((sigma, sigma_next))
            sign = 1.0 if sigma < sigma_next else -1.0
            moved: Tensor = tree(min(max(low, first), last), min(max(high, first), last))
            return moved.to(like) * (sign / math.sqrt(high - low))

        return increment
