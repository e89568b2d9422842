"""Published formats to deltas: LoRA, LoCon, LoHa, LoKr, DoRA on any of them, GLoRA, (IA)^3, and differences in full."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.lazy import torch
from marquetry.engine.models.adapters.delta import Delta, Difference, LowRank, Several
from marquetry.engine.models.adapters.gain import Decomposed, Gain, Generalized
from marquetry.engine.models.adapters.product import Hadamard, Kronecker

if TYPE_CHECKING:
    from torch import Tensor

    from marquetry.engine.models.adapters.published import Group
    from marquetry.engine.models.adapters.scaling import Scaling


def delta_of(group: Group, scaling: Scaling) -> tuple[Delta | None, set[str]]:
    """The delta that a module's tensors make, and the meanings of those used. Raises ModelFormatError for shapes that don't go together."""
    try:
        return _delta_of(group, scaling)
    except (RuntimeError, IndexError, ValueError) as error:
        raise ModelFormatError(f"the adapter's tensors for '{group.name}' do not go together: {error}", module=group.name) from error


def _delta_of(group: Group, scaling: Scaling) -> tuple[Delta | None, set[str]]:
    tensors = group.tensors
    alpha = _alpha(group)
    parts: list[Delta] = []
    used: set[str] = {"alpha"}
    factored = _factored(group.name, tensors, alpha, scaling)
    if factored is not None:
        delta, names = factored
        used |= names
        _check(delta)
        parts.append(_decomposed(delta, tensors, used))
        if "up_bias" in tensors and isinstance(delta, LowRank):
            used.add("up_bias")
            parts.append(Difference(bias=tensors["up_bias"] * delta.scale))
    difference = Difference(tensors.get("difference"), tensors.get("bias_difference"))
    if difference.weight is not None or difference.bias is not None:
        used |= {"difference", "bias_difference"}
        whole = factored is None and difference.weight is not None and difference.bias is None
        parts.append(_decomposed(difference, tensors, used) if whole else difference)
    if "on_input" in tensors and "weight" in tensors:
        used |= {"on_input", "weight"}
        parts.append(Gain(tensors["weight"].flatten(), "input" if bool(tensors["on_input"].flatten()[0]) else "output"))
    if not parts:
        return None, set()
    return (parts[0] if len(parts) == 1 else Several(tuple(parts))), used


def _factored(name: str, tensors: Mapping[str, Tensor], alpha: float | None, scaling: Scaling) -> tuple[Delta, set[str]] | None:
    match tensors:
        case {"down": down, "up": up}:
            return LowRank(down, up, scaling.of(name, down.shape[0], alpha), tensors.get("middle")), {"down", "up", "middle"}
        case {"embedding_down": down, "embedding_up": up}:  # PEFT keeps both of an embedding transposed
            return LowRank(up.t(), down.t(), scaling.of(name, down.shape[0], alpha)), {"embedding_down", "embedding_up"}
        case {"hada_w1_a": w1_a, "hada_w1_b": w1_b, "hada_w2_a": w2_a, "hada_w2_b": w2_b}:
            scale = scaling.of(name, w1_b.shape[0], alpha)
            t1, t2 = tensors.get("hada_t1"), tensors.get("hada_t2")
            names = {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"}
            return Hadamard(w1_a, w1_b, w2_a, w2_b, scale, t1, t2), names
        case {"glora_a1": a1, "glora_a2": a2, "glora_b1": b1, "glora_b2": b2}:
            if b1.shape[0] < b1.shape[1]:  # the older spelling swaps the two of each pair
                a1, a2, b1, b2 = a2, a1, b2, b1
            return Generalized(a1, a2, b1, b2, scaling.of(name, a2.shape[0], alpha)), {"glora_a1", "glora_a2", "glora_b1", "glora_b2"}
    return _kronecker(name, tensors, alpha, scaling)


def _kronecker(name: str, tensors: Mapping[str, Tensor], alpha: float | None, scaling: Scaling) -> tuple[Delta, set[str]] | None:
    first, second = _whole_or_pair(tensors, "lokr_w1"), _whole_or_pair(tensors, "lokr_w2")
    if first is None or second is None:
        return None
    # The scale is of the rank of the factored side; where both are given in full there is no rank, and alpha has no meaning.
    pair = second if isinstance(second, tuple) else first
    scale = scaling.of(name, pair[1].shape[0], alpha) if isinstance(pair, tuple) else 1.0
    names = {name for name in tensors if name.startswith("lokr_")}
    return Kronecker(first, second, scale, tensors.get("lokr_t2")), names


def _whole_or_pair(tensors: Mapping[str, Tensor], name: str) -> Tensor | tuple[Tensor, Tensor] | None:
    match tensors.get(name), tensors.get(f"{name}_a"), tensors.get(f"{name}_b"):
        case (torch.Tensor() as whole, _, _):
            return whole
        case (_, torch.Tensor() as a, torch.Tensor() as b):
            return a, b
    return None


def _decomposed(direction: Delta, tensors: Mapping[str, Tensor], used: set[str]) -> Delta:
    """With DoRA's magnitude, if any: PEFT's is per output row, LyCORIS' `dora_scale` so as `[rows, 1, ...]`, else per input channel."""
    if "magnitude" in tensors:
        used.add("magnitude")
        return Decomposed(direction, tensors["magnitude"].flatten(), "output")
    if "dora_scale" in tensors:
        used.add("dora_scale")
        scale = tensors["dora_scale"]
        by_row = scale.shape[0] == scale.numel() == direction.size[0]
        return Decomposed(direction, scale.flatten(), "output" if by_row else "input")
    return direction


def _alpha(group: Group) -> float | None:
    tensor = group.tensors.get("alpha")
    if tensor is None:
        return None
    alpha = float(tensor.flatten()[0])
    if not isfinite(alpha):
        raise ModelFormatError(f"the alpha of '{group.name}' is {alpha}", module=group.name)
    return alpha


def _check(delta: Delta) -> None:
    """Raise for factors that don't go together, without computing anything."""
    rows, columns = delta.size
    if not rows or not columns:
        raise ValueError(f"a change of a weight {[rows, columns]}")
    shapes = delta.map(lambda tensor: torch.empty(tensor.shape, device="meta"))
    shapes.explicit(torch.empty(rows, columns, device="meta"))
