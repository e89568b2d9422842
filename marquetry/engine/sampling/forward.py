"""Forward passes: from prompts and a noisy latent to calls of the network, merged where shapes allow, and back to one estimate per role."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from marquetry.engine.lazy import torch
from marquetry.engine.sampling.conditioning import Prompt
from marquetry.engine.sampling.model import CONCAT, CONTEXT, DiffusionModel

if TYPE_CHECKING:
    from torch import Tensor

MAX_TOKEN_REPEATS = 4  # beyond this, repeating short prompts costs more than a second pass


@dataclass(frozen=True, eq=False)
class ForwardCall:
    """One evaluation of the network: `x` [B, C, h, w] at `sigma` with keyword `values`; `role` is the index of the role it serves."""

    x: Tensor
    sigma: float
    values: Mapping[str, Any]
    role: int


def estimate(model: DiffusionModel, x: Tensor, sigma: float, roles: Sequence[Sequence[Prompt] | None]) -> list[Tensor | None]:
    """The denoised latent that each role's prompts see in `x` [B, C, h, w], weighted where they overlap; None for a role that is None.

    Where none of a role's prompts speaks, its estimate is 0.
    """
    calls: list[ForwardCall] = []
    speakers: list[Prompt] = []
    for index, prompts in enumerate(roles):
        for prompt in prompts or ():
            if prompt.active(sigma):
                values = {key: prompt.cut(value) if key == CONCAT else value for key, value in prompt.values.items()}
                calls.append(ForwardCall(prompt.cut(x), sigma, values, index))
                speakers.append(prompt)
    outputs = run_calls(model, calls)
    estimates: list[Tensor | None] = []
    for index, prompts in enumerate(roles):
        own = [(prompt, output) for prompt, call, output in zip(speakers, calls, outputs, strict=True) if call.role == index]
        estimates.append(None if prompts is None else _combined(x, own))
    return estimates


def _combined(x: Tensor, parts: Sequence[tuple[Prompt, Tensor]]) -> Tensor:
    """The weighted mean of outputs, each in its prompt's area."""
    if len(parts) == 1 and parts[0][0].area is None and parts[0][0].mask is None:
        return parts[0][1]
    total = torch.zeros_like(x)
    weights = torch.full_like(x, 1e-37)
    for prompt, output in parts:
        weight = prompt.weight(x)
        prompt.cut(total).add_(output * weight)
        prompt.cut(weights).add_(weight)
    return total.div_(weights)


def run_calls(model: DiffusionModel, calls: Sequence[ForwardCall]) -> list[Tensor]:
    """The network's answers, shaped like each call's `x`. Calls that fit together share one forward pass."""
    outputs: dict[int, Tensor] = {}
    waiting = list(enumerate(calls))
    while waiting:
        together = [waiting[0]]
        for index, call in waiting[1:]:
            if all(fits(call, member) for _, member in together):
                together.append((index, call))
        taken = {index for index, _ in together}
        waiting = [item for item in waiting if item[0] not in taken]
        members = [call for _, call in together]
        answer = _denoise(model, members)
        for (index, _), part in zip(together, torch.split(answer, [call.x.shape[0] for call in members]), strict=True):
            outputs[index] = part
    return [outputs[index] for index in range(len(calls))]


def fits(call: ForwardCall, other: ForwardCall) -> bool:
    """Whether two calls can share a forward pass: latents and tensors of equal shape, all else the very same object."""
    if call.x.shape[1:] != other.x.shape[1:] or call.values.keys() != other.values.keys():
        return False
    return all(_matches(key, value, other.values[key]) for key, value in call.values.items())


def _matches(key: str, value: Any, other: Any) -> bool:
    if not isinstance(value, torch.Tensor) or not isinstance(other, torch.Tensor):
        return value is other
    if key == CONTEXT and value.ndim == other.ndim == 3:
        tokens, other_tokens = value.shape[1], other.shape[1]
        common = math.lcm(tokens, other_tokens)
        return value.shape[2] == other.shape[2] and common // min(tokens, other_tokens) <= MAX_TOKEN_REPEATS
    return value.shape[1:] == other.shape[1:]


def _denoise(model: DiffusionModel, calls: Sequence[ForwardCall]) -> Tensor:
    x = torch.cat([call.x for call in calls]) if len(calls) > 1 else calls[0].x
    sigma = torch.cat([torch.full((call.x.shape[0],), call.sigma, dtype=torch.float32) for call in calls]).to(x.device)
    values = {key: _joined(key, [call.values[key] for call in calls]) for key in calls[0].values}
    wrapper = model.options.get("model_function_wrapper")
    if wrapper is None:
        return model.denoise(x, sigma, values)

    def apply_model(input: Tensor, timestep: Tensor, **c: Any) -> Tensor:
        return model.denoise(input, timestep, c)

    described = {"input": x, "timestep": sigma, "c": values, "cond_or_uncond": [call.role for call in calls]}
    wrapped: Tensor = wrapper(apply_model, described)
    return wrapped


def _joined(key: str, values: Sequence[Any]) -> Any:
    if len(values) == 1 or not isinstance(values[0], torch.Tensor):
        return values[0]
    if key == CONTEXT and values[0].ndim == 3:
        tokens = math.lcm(*(value.shape[1] for value in values))
        values = [value.repeat(1, tokens // value.shape[1], 1) for value in values]
    return torch.cat(list(values))
