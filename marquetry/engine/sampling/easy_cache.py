"""EasyCache (Zhou et al. 2025, "Less is Enough"): steps in which the network's answer would hardly change reuse the last one. An approximation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from marquetry.engine.lazy import torch
from marquetry.engine.sampling.model_sampling import ModelSampling
from marquetry.engine.sampling.run_memory import run_memory

if TYPE_CHECKING:
    from torch import Tensor

Apply = Callable[..., "Tensor"]
Wrapper = Callable[[Apply, Mapping[str, Any]], "Tensor"]


@dataclass(eq=False)
class _Seen:
    """What one group of prompts was last answered. `rate`: by how much the answer changes where the input changes by 1."""

    seen: Tensor | None = None  # what the network was last given, computed or not
    computed: Tensor | None = None  # the last that it was really run on
    answer: Tensor | None = None
    rate: float | None = None
    expected: float = 0.0  # change of the answer since it was computed, as a share of it


@dataclass
class _Count:
    reused: int = 0
    all: int = 0


@dataclass(frozen=True, eq=False)
class EasyCache:
    """As a model's `model_function_wrapper`; `inner` is the one that it had before.

    Steps are reused while the expected change adds up to less than `threshold`, at levels between `highest` and `lowest`.
    """

    sampling: ModelSampling
    threshold: float
    highest: float
    lowest: float
    inner: Wrapper | None = None

    def __call__(self, apply: Apply, described: Mapping[str, Any]) -> Tensor:
        x, level = described["input"], described["timestep"]
        sigma = float(level[0])
        memory = run_memory()
        state = memory.of((self, tuple(described["cond_or_uncond"]), tuple(x.shape)), _Seen)
        count = memory.of(self, _Count)
        memory.approximations.setdefault(self, lambda: f"EasyCache: {count.reused} of {count.all} evaluations reused an earlier answer.")
        count.all += 1
        given = self.sampling.scale_input(x, level)
        if self.lowest <= sigma <= self.highest and self._reusable(state, given):
            count.reused += 1
            assert state.answer is not None and state.computed is not None
            return _denoised(x, level, state.answer + (given - state.computed))
        result = apply(x, level, **described["c"]) if self.inner is None else self.inner(apply, described)
        self._learn(state, given, (x - result) / _like(level, x).clamp(min=1e-6))
        return result

    def _reusable(self, state: _Seen, given: Tensor) -> bool:
        if state.rate is None or state.seen is None or state.answer is None:
            return False
        state.expected += state.rate * _size(given - state.seen) / max(_size(state.answer), 1e-12)
        state.seen = given
        return state.expected < self.threshold

    def _learn(self, state: _Seen, given: Tensor, answer: Tensor) -> None:
        if state.computed is not None and state.answer is not None:
            moved = _size(given - state.computed)
            state.rate = _size(answer - state.answer) / moved if moved > 0 else None
        state.seen, state.computed, state.answer, state.expected = given, given, answer, 0.0


def _denoised(x: Tensor, level: Tensor, answer: Tensor) -> Tensor:
    return x - answer * _like(level, x)


def _like(level: Tensor, x: Tensor) -> Tensor:
    return level.reshape(-1, *(1,) * (x.ndim - 1)).to(x)


def _size(values: Tensor) -> float:
    return float(torch.mean(values.abs()))
