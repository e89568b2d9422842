"""Delta: what an adapter adds to one module, kept in its factored form and never written into the base weight.

Every supported module is linear in its weight, so a change of weight is a change of output: with ΔW for W, the module
gives base(x) + strength · delta(x).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Self

from marquetry.engine.lazy import functional, torch

if TYPE_CHECKING:
    from torch import Tensor, nn


class Delta(ABC):
    """A change of one module's weight `[rows, columns]`, where a kernel `[rows, c, kh, kw]` counts as `[rows, c * kh * kw]`."""

    reads_base: ClassVar[bool] = False
    """Whether the change depends on the base weight."""

    @property
    @abstractmethod
    def size(self) -> tuple[int | None, int | None]:
        """Rows and columns of the weights that this fits; None fits any number."""

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether a base weight of that shape can be changed by this."""
        rows, columns = self.size
        return rows in (None, shape[0]) and columns in (None, prod(shape[1:]))

    @abstractmethod
    def explicit(self, base: Tensor) -> Tensor:
        """ΔW in the shape of the base weight."""

    def output(self, module: nn.Module, x: Tensor, base: Tensor) -> Tensor:
        """What ΔW adds to the module's output; `x` is the module's input, `base` its own output."""
        return project(module, x, self.explicit(weight_of(module).to(base)))

    def add(self, module: nn.Module, x: Tensor, base: Tensor, total: Tensor, strength: float) -> Tensor:
        """`total + strength * output(...)`."""
        return torch.add(total, self.output(module, x, base), alpha=strength)

    def rows(self, start: int, stop: int) -> Delta:
        """The part for rows `start:stop`, for networks that keep a fused projection as several. Raises NotImplementedError."""
        raise NotImplementedError(f"{type(self).__name__} can't be split into rows")

    def columns(self, count: int, *, beyond: bool = False) -> Delta | None:
        """The part for the first `count` columns, a change of bias with it, or that for the others. Raises NotImplementedError."""
        raise NotImplementedError(f"{type(self).__name__} can't be split into columns")

    def swapped(self) -> Delta:
        """With the two halves of its rows in each other's places. Raises NotImplementedError."""
        raise NotImplementedError(f"the halves of {type(self).__name__} can't change places")

    def prepare(self, module: nn.Module) -> Delta:
        """With whatever is computed once per base weight and kept. Called when the delta is on the module's device."""
        return self

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The same with every tensor changed, such as moved to a device."""
        return replace(self, **{name: _mapped(value, change) for name, value in self._parts()})  # type: ignore[type-var]

    def tensors(self) -> Iterator[Tensor]:
        for _, value in self._parts():
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, Delta):
                    yield from part.tensors()
                elif isinstance(part, torch.Tensor):
                    yield part

    def _parts(self) -> list[tuple[str, Any]]:
        return [(field.name, getattr(self, field.name)) for field in fields(self)]  # type: ignore[arg-type]


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, Delta):
        return value.map(change)
    if isinstance(value, tuple):
        return tuple(_mapped(part, change) for part in value)
    return value


def _swapped(rows: Tensor) -> Tensor:
    return torch.cat(rows.chunk(2)[::-1])


def weight_of(module: nn.Module) -> Tensor:
    weight = module.weight
    assert isinstance(weight, torch.Tensor)
    return weight.detach()


def project(module: nn.Module, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The module's own operation on `x` with another weight, and with `bias` in place of its bias."""
    shaped: Tensor = weight.reshape(weight_of(module).shape)
    nn = torch.nn
    match module:
        case nn.Linear():
            return functional.linear(x, shaped, bias)
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
            convolved: Tensor = module._conv_forward(x, shaped, bias)
            return convolved
        case nn.Embedding():
            return functional.embedding(x, shaped)
        case nn.LayerNorm():
            return functional.layer_norm(x, module.normalized_shape, shaped, bias, module.eps)
        case nn.GroupNorm():
            return functional.group_norm(x, module.num_groups, shaped, bias, module.eps)
        case nn.RMSNorm():
            return functional.rms_norm(x, list(module.normalized_shape), shaped, module.eps)
        case _:
            raise NotImplementedError(f"adapters can't change a {type(module).__name__}")


def is_targetable(module: nn.Module) -> bool:
    """Whether `project` knows the module's operation, and it has a weight."""
    nn = torch.nn
    known = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Embedding, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
    return isinstance(module, known) and getattr(module, "weight", None) is not None


def is_convolution(module: nn.Module) -> bool:
    return isinstance(module, (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d))


def along_channels(vector: Tensor, module: nn.Module, values: Tensor) -> Tensor:
    """A vector per channel in the shape that broadcasts over `values`, the module's outputs or inputs."""
    if is_convolution(module):
        return vector.reshape(-1, *[1] * (weight_of(module).ndim - 2))
    if isinstance(module, torch.nn.GroupNorm):
        return vector.reshape(-1, *[1] * (values.ndim - 2))
    return vector.reshape(-1)


@dataclass(frozen=True, eq=False)
class LowRank(Delta):
    """LoRA: scale · up @ down (Hu et al. 2021). `down` `[r, columns]` or a kernel, `up` `[rows, r]` or a 1x1 kernel.

    With `middle` `[r, r, kh, kw]` it is LoCon's CP form: a 1x1 kernel down, the spatial one in the middle, 1x1 up.
    """

    down: Tensor
    up: Tensor
    scale: float = 1.0
    middle: Tensor | None = None

    @property
    def size(self) -> tuple[int, int]:
        columns = self.down[0].numel()
        return self.up.shape[0], columns if self.middle is None else columns * self.middle[0, 0].numel()

    def explicit(self, base: Tensor) -> Tensor:
        up = self.up.flatten(1)
        if self.middle is None:
            return (self.scale * (up @ self.down.flatten(1))).reshape(base.shape)
        return (self.scale * torch.einsum("or,rs...,si->oi...", up, self.middle, self.down.flatten(1))).reshape(base.shape)

    def output(self, module: nn.Module, x: Tensor, base: Tensor) -> Tensor:
        if isinstance(module, torch.nn.Linear):
            return functional.linear(functional.linear(x, self.down.flatten(1)), self.up.flatten(1)) * self.scale
        if isinstance(module, torch.nn.Embedding):
            return functional.embedding(x, self.up.flatten(1)) @ self.down.flatten(1) * self.scale
        if is_convolution(module) and module.groups == 1:
            return self._convolve(module, x) * self.scale
        return super().output(module, x, base)

    def add(self, module: nn.Module, x: Tensor, base: Tensor, total: Tensor, strength: float) -> Tensor:
        if not isinstance(module, torch.nn.Linear):
            return super().add(module, x, base, total, strength)
        hidden = functional.linear(x, self.down.flatten(1)).flatten(0, -2)
        sum = torch.addmm(total.reshape(-1, total.shape[-1]), hidden, self.up.flatten(1).t(), alpha=strength * self.scale)
        return sum.reshape(total.shape)

    def _convolve(self, module: nn.Module, x: Tensor) -> Tensor:
        kernel = weight_of(module).shape[2:]
        pointwise = (1,) * len(kernel)
        convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[len(kernel) - 1]
        if self.middle is None:
            hidden = module._conv_forward(x, self.down.reshape(self.down.shape[0], -1, *kernel), None)  # type: ignore[operator]
        else:
            hidden = convolve(x, self.down.reshape(*self.down.shape[:2], *pointwise))
            hidden = module._conv_forward(hidden, self.middle, None)  # type: ignore[operator]
        return convolve(hidden, self.up.reshape(*self.up.shape[:2], *pointwise))

    def rows(self, start: int, stop: int) -> LowRank:
        return replace(self, up=self.up[start:stop])

    def columns(self, count: int, *, beyond: bool = False) -> LowRank:
        if self.middle is not None or self.down.ndim != 2:
            return super().columns(count, beyond=beyond)  # type: ignore[return-value]
        return replace(self, down=self.down[:, count:] if beyond else self.down[:, :count])

    def swapped(self) -> LowRank:
        return replace(self, up=_swapped(self.up))


@dataclass(frozen=True, eq=False)
class Difference(Delta):
    """A change of weight, of bias, or of both, given in full."""

    weight: Tensor | None = None
    bias: Tensor | None = None

    @property
    def size(self) -> tuple[int | None, int | None]:
        if self.weight is not None:
            return self.weight.shape[0], self.weight[0].numel()
        assert self.bias is not None
        return self.bias.numel(), None

    def explicit(self, base: Tensor) -> Tensor:
        return torch.zeros_like(base) if self.weight is None else self.weight.reshape(base.shape)

    def output(self, module: nn.Module, x: Tensor, base: Tensor) -> Tensor:
        if self.weight is not None:
            if self.bias is None or not isinstance(module, torch.nn.RMSNorm | torch.nn.Embedding):
                return project(module, x, self.weight, self.bias)
            return project(module, x, self.weight) + self.bias
        assert self.bias is not None
        return along_channels(self.bias, module, base).expand_as(base)

    def rows(self, start: int, stop: int) -> Difference:
        weight, bias = self.weight, self.bias
        return Difference(None if weight is None else weight[start:stop], None if bias is None else bias[start:stop])

    def columns(self, count: int, *, beyond: bool = False) -> Difference | None:
        weight = None if self.weight is None else self.weight[:, count:] if beyond else self.weight[:, :count]
        bias = None if beyond else self.bias
        return None if weight is None and bias is None else Difference(weight, bias)

    def swapped(self) -> Difference:
        return Difference(*(None if part is None else _swapped(part) for part in (self.weight, self.bias)))


@dataclass(frozen=True, eq=False)
class Several(Delta):
    """The sum of deltas for one module, such as a low-rank one and a change of bias."""

    parts: tuple[Delta, ...]

    @property
    def size(self) -> tuple[int | None, int | None]:
        return self.parts[0].size

    def fits(self, shape: Sequence[int]) -> bool:
        return all(part.fits(shape) for part in self.parts)

    def explicit(self, base: Tensor) -> Tensor:
        return torch.stack([part.explicit(base) for part in self.parts]).sum(0)

    def output(self, module: nn.Module, x: Tensor, base: Tensor) -> Tensor:
        return torch.stack([part.output(module, x, base) for part in self.parts]).sum(0)

    def add(self, module: nn.Module, x: Tensor, base: Tensor, total: Tensor, strength: float) -> Tensor:
        for part in self.parts:
            total = part.add(module, x, base, total, strength)
        return total

    def prepare(self, module: nn.Module) -> Several:
        return Several(tuple(part.prepare(module) for part in self.parts))

    def rows(self, start: int, stop: int) -> Several:
        return Several(tuple(part.rows(start, stop) for part in self.parts))

    def columns(self, count: int, *, beyond: bool = False) -> Several | None:
        parts = tuple(part for each in self.parts if (part := each.columns(count, beyond=beyond)) is not None)
        return Several(parts) if parts else None

    def swapped(self) -> Several:
        return Several(tuple(part.swapped() for part in self.parts))
