"""Guiders: which prompts a model is asked about, and how its answers are mixed into one estimate.

Guidance functions that nodes put into a model's options are called with ComfyUI's keys:
`sampler_pre_cfg_function`, `sampler_cfg_function`, `sampler_post_cfg_function`, and `disable_cfg1_optimization`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from marquetry.engine.lazy import torch
from marquetry.engine.sampling.conditioning import Prompt
from marquetry.engine.sampling.forward import estimate
from marquetry.engine.sampling.model import DiffusionModel
from marquetry.engine.sampling.sampler import Denoised

if TYPE_CHECKING:
    from torch import Tensor

Conditioning = Sequence[Sequence[Any]]
Prompts = Mapping[str, Sequence[Prompt]]


class Guider(ABC):
    """What travels as GUIDER: a model with its conditionings. Immutable."""

    model: DiffusionModel

    @abstractmethod
    def conditionings(self) -> Mapping[str, Conditioning]:
        """What is to be prepared, by role."""

    @abstractmethod
    def predict(self, prompts: Prompts, x: Tensor, sigma: float, *, uncond: bool = False) -> Denoised:
        """The guided estimate of the clean latent in `x` [B, C, h, w] at `sigma`; with `uncond` the unconditional one too."""


@dataclass(frozen=True, eq=False)
class BasicGuider(Guider):
    """The model's answer to one prompt, as it is."""

    model: DiffusionModel
    positive: Conditioning

    def conditionings(self) -> Mapping[str, Conditioning]:
        return {"positive": self.positive}

    def predict(self, prompts: Prompts, x: Tensor, sigma: float, *, uncond: bool = False) -> Denoised:
        return guided(self.model, x, sigma, prompts["positive"], None, 1.0)


@dataclass(frozen=True, eq=False)
class CFGGuider(Guider):
    """Classifier-free guidance (Ho and Salimans 2022): away from the negative prompt by `cfg` times the difference."""

    model: DiffusionModel
    positive: Conditioning
    negative: Conditioning
    cfg: float

    def conditionings(self) -> Mapping[str, Conditioning]:
        return {"positive": self.positive, "negative": self.negative}

    def predict(self, prompts: Prompts, x: Tensor, sigma: float, *, uncond: bool = False) -> Denoised:
        return guided(self.model, x, sigma, prompts["positive"], prompts["negative"], self.cfg, uncond)


@dataclass(frozen=True, eq=False)
class DualCFGGuider(Guider):
    """Guidance with two prompts and a negative one (two conditions: Brooks et al. 2023).

    Regular: `cfg_middle` guides `middle` away from `negative`, then `cfg` times the difference of `positive` and `middle` is added.
    Nested: `cfg` guides `positive` away from `middle`, and `cfg_middle` guides the outcome away from `negative`.
    """

    model: DiffusionModel
    positive: Conditioning
    middle: Conditioning
    negative: Conditioning
    cfg: float
    cfg_middle: float
    nested: bool = False

    def conditionings(self) -> Mapping[str, Conditioning]:
        return {"positive": self.positive, "middle": self.middle, "negative": self.negative}

    def predict(self, prompts: Prompts, x: Tensor, sigma: float, *, uncond: bool = False) -> Denoised:
        roles: list[Sequence[Prompt] | None] = [prompts["negative"], prompts["middle"], prompts["positive"]]
        if self._skippable(self.cfg_middle, uncond) and not self.nested:
            roles[0] = None
            if _is_one(self.cfg):
                roles[1] = None
        negative, middle, positive = estimate(self.model, x, sigma, roles)
        assert positive is not None
        if self.nested:
            assert negative is not None
            inner = mixed(self.model, x, sigma, positive, middle, self.cfg, roles[2], roles[1])
            return Denoised(torch.lerp(negative, inner, self.cfg_middle), negative)
        if middle is None:
            return Denoised(positive)
        outer = mixed(self.model, x, sigma, middle, negative, self.cfg_middle, roles[1], roles[0])
        return Denoised(outer + (positive - middle) * self.cfg, negative)

    def _skippable(self, scale: float, uncond: bool) -> bool:
        return _is_one(scale) and not uncond and not self.model.options.get("disable_cfg1_optimization", False)


def guided(
    model: DiffusionModel,
    x: Tensor,
    sigma: float,
    positive: Sequence[Prompt],
    negative: Sequence[Prompt] | None,
    scale: float,
    uncond: bool = False,
) -> Denoised:
    """Classifier-free guidance with all of a model's guidance functions; at `scale` 1 the negative prompt is asked only if somebody needs it."""
    options = model.options
    if _is_one(scale) and not uncond and not options.get("disable_cfg1_optimization", False):
        negative = None
    cond, unguided = estimate(model, x, sigma, [positive, negative])
    assert cond is not None
    for function in options.get("sampler_pre_cfg_function", ()):
        described = {
            "conds_out": [cond, unguided],
            "conds": [positive, negative],
            "cond_scale": scale,
            "input": x,
            "model": model,
            "model_options": options,
        }
        cond, unguided = function(described | _levels(x, sigma))
    return Denoised(mixed(model, x, sigma, cond, unguided, scale, positive, negative), unguided)


def mixed(
    model: DiffusionModel,
    x: Tensor,
    sigma: float,
    cond: Tensor,
    uncond: Tensor | None,
    scale: float,
    positive: Sequence[Prompt] | None,
    negative: Sequence[Prompt] | None,
) -> Tensor:
    """`uncond + scale * (cond - uncond)`, or what the model's guidance functions make of the two; all `[B, C, h, w]`."""
    options = model.options
    unguided = torch.zeros_like(cond) if uncond is None else uncond
    shared = {
        "cond_scale": scale,
        "input": x,
        "cond_denoised": cond,
        "uncond_denoised": unguided,
        "model": model,
        "model_options": options,
    } | _levels(x, sigma)
    custom = options.get("sampler_cfg_function")
    if custom is not None:
        result: Tensor = x - custom(shared | {"cond": x - cond, "uncond": x - unguided})
    elif uncond is None:
        result = cond
    else:
        result = uncond + (cond - uncond) * scale
    for function in options.get("sampler_post_cfg_function", ()):
        result = function(shared | {"denoised": result, "cond": positive, "uncond": negative})
    return result


def _levels(x: Tensor, sigma: float) -> dict[str, Tensor]:
    level = torch.full((x.shape[0],), sigma, dtype=torch.float32, device=x.device)
    return {"sigma": level, "timestep": level}


def _is_one(scale: float) -> bool:
    return math.isclose(scale, 1.0)
