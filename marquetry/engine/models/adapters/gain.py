"""Deltas that depend on the base weight: DoRA, (IA)^3 and GLoRA. Each is relative to the base weight alone, so that they add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from marquetry.engine.lazy import functional, torch
from marquetry.engine.models.adapters.delta import Delta, along_channels, project, weight_of

if TYPE_CHECKING:
    from torch import Tensor, nn

Axis: TypeAlias = Literal["output", "input"]


def without_bias(module: nn.Module, output: Tensor) -> Tensor:
    bias = getattr(module, "bias", None)
    return output if bias is None else output - along_channels(bias.detach().to(output), module, output)


@dataclass(frozen=True, eq=False)
class Decomposed(Delta):
    """DoRA (Liu et al. 2024): W + ΔW is brought to the norms `magnitude`, which are per output row or per input channel.

    The change is magnitude · (W + ΔW) / |W + ΔW| - W, and strength scales the whole of it. `gain` is magnitude / |W + ΔW|.
    """

    reads_base: ClassVar[bool] = True
    direction: Delta
    magnitude: Tensor
    axis: Axis = "output"
    gain: Tensor | None = None

    @property
    def size(self) -> tuple[int | None, int | None]:
        return self.direction.size

    def fits(self, shape: Sequence[int]) -> bool:
        return self.direction.fits(shape) and self.magnitude.numel() == shape[0 if self.axis == "output" else 1]

    def gain_for(self, base: Tensor) -> Tensor:
        """The factor per channel that brings W + ΔW to its magnitude, float32; 0 where W + ΔW is 0."""
        changed = base.float() + self.direction.map(lambda tensor: tensor.float()).explicit(base.float())
        rows = changed.flatten(1) if self.axis == "output" else changed.transpose(0, 1).flatten(1)
        norms = torch.linalg.vector_norm(rows, dim=1)
        return torch.where(norms > 0, self.magnitude.flatten().float() / norms, 0.0)

    def explicit(self, base: Tensor) -> Tensor:
        changed = base + self.direction.explicit(base)
        gain = self.gain_for(base).to(base)
        shape = (-1, *[1] * (base.ndim - 1)) if self.axis == "output" else (1, -1, *[1] * (base.ndim - 2))
        return changed * gain.reshape(shape) - base

    def prepare(self, module: nn.Module) -> Decomposed:
        gain = self.gain_for(weight_of(module).to(self.magnitude.device)).to(self.magnitude)
        return replace(self, direction=self.direction.prepare(module), gain=gain)

    def output(self, module: nn.Module, x: Tensor, base: Tensor) -> Tensor:
        gain = self.gain
        if gain is None or isinstance(module, torch.nn.Embedding):
            return super().output(module, x, base)
        plain = without_bias(module, base)
        if self.axis == "output":
            gain = along_channels(gain, module, base)
            return self.direction.add(module, x, base, plain, 1.0) * gain - plain
        scaled = x * along_channels(gain, module, x)
        changed = project(module, scaled, weight_of(module).to(base))
        return self.direction.add(module, scaled, changed, changed, 1.0) - plain

    def rows(self, start: int, stop: int) -> Decomposed:
        if self.axis == "input":
            raise NotImplementedError("a magnitude per input channel can't be split into rows")
        return replace(self, direction=self.direction.rows(start, stop), magnitude=self.magnitude.flatten()[start:stop])


@dataclass(frozen=True, eq=False)
class Gain(Delta):
    """(IA)^3 (Liu et al. 2022): W's rows or input channels times 1 + `factor`."""

    reads_base: ClassVar[bool] = True
    factor: Tensor
    axis: Axis = "output"

    @property
    def size(self) -> tuple[int | None, int | None]:
        return (self.factor.numel(), None) if self.axis == "output" else (None, None)

    def fits(self, shape: Sequence[int]) -> bool:
        axis = 0 if self.axis == "output" else 1
        return len(shape) > axis and self.factor.numel() == shape[axis]

    def explicit(self, base: Tensor) -> Tensor:
        shape = (-1, *[1] * (base.ndim - 1)) if self.axis == "output" else (1, -1, *[1] * (base.ndim - 2))
        return base * self.factor.reshape(shape)

    def output(self, module: nn.Module, x: Tensor, base: Tensor) -> Tensor:
        if isinstance(module, torch.nn.Embedding):
            return super().output(module, x, base)
        if self.axis == "output":
            return without_bias(module, base) * along_channels(self.factor, module, base)
        return project(module, x * along_channels(self.factor, module, x), weight_of(module).to(base))

    def rows(self, start: int, stop: int) -> Gain:
        return self if self.axis == "input" else Gain(self.factor.flatten()[start:stop])


@dataclass(frozen=True, eq=False)
class Generalized(Delta):
    """GLoRA (Chavan et al. 2023) on linear layers: ΔW = scale · (W @ a1 @ a2 + b1 @ b2).

    `a1` is `[columns, r]`, `a2` `[r, columns]`, `b1` `[rows, r]`, `b2` `[r, columns]`.
    """

    reads_base: ClassVar[bool] = True
    a1: Tensor
    a2: Tensor
    b1: Tensor
    b2: Tensor
    scale: float = 1.0

    @property
    def size(self) -> tuple[int, int]:
        return self.b1.shape[0], self.b2.shape[1]

    def explicit(self, base: Tensor) -> Tensor:
        flat = base.flatten(1)
        return (self.scale * (flat @ self.a1 @ self.a2 + self.b1 @ self.b2)).reshape(base.shape)

    def output(self, module: nn.Module, x: Tensor, base: Tensor) -> Tensor:
        if not isinstance(module, torch.nn.Linear):
            return super().output(module, x, base)
        bent = functional.linear(functional.linear(x, self.a2), self.a1)
        straight = functional.linear(functional.linear(x, self.b2), self.b1)
        return (functional.linear(bent, weight_of(module).to(base)) + straight) * self.scale

    def rows(self, start: int, stop: int) -> Generalized:
        return replace(self, b1=self.b1[start:stop])
