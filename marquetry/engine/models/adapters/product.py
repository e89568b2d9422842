"""LoHa and LoKr (Yeh et al. 2023, LyCORIS): deltas that are Hadamard and Kronecker products of small matrices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from marquetry.engine.lazy import functional, torch
from marquetry.engine.models.adapters.delta import Delta, Difference, LowRank, is_convolution, weight_of

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Hadamard(Delta):
    """LoHa: scale · (w1_a @ w1_b) ∘ (w2_a @ w2_b), with `a` `[rows, r]` and `b` `[r, columns]`.

    With kernels `t1`, `t2` `[r, r, kh, kw]` it is the Tucker form, where `a` is `[r, rows]` and `b` `[r, channels]`.
    """

    w1_a: Tensor
    w1_b: Tensor
    w2_a: Tensor
    w2_b: Tensor
    scale: float = 1.0
    t1: Tensor | None = None
    t2: Tensor | None = None

    @property
    def size(self) -> tuple[int, int]:
        if self.t1 is None:
            return self.w1_a.shape[0], self.w1_b[0].numel()
        return self.w1_a.shape[1], self.w1_b.shape[1] * self.t1[0, 0].numel()

    def explicit(self, base: Tensor) -> Tensor:
        first = _factor(self.w1_a, self.w1_b, self.t1)
        return (self.scale * first * _factor(self.w2_a, self.w2_b, self.t2)).reshape(base.shape)

    def prepare(self, module: nn.Module) -> Delta:
        """As an equal low-rank delta where that costs less than the full one: the product of ranks r and s has rank r · s."""
        ranks = self.w1_b.shape[0] * self.w2_b.shape[0]
        rows, columns = self.size
        if self.t1 is not None or self.t2 is not None or 2 * ranks * (rows + columns) > rows * columns:
            return Difference(weight=self.explicit(weight_of(module).to(self.w1_a)))
        up = (self.w1_a[:, :, None] * self.w2_a[:, None, :]).flatten(1)
        down = (self.w1_b.flatten(1)[:, None, :] * self.w2_b.flatten(1)[None, :, :]).flatten(0, 1)
        if is_convolution(module):
            down = down.reshape(ranks, *weight_of(module).shape[1:])
        return LowRank(down=down, up=up, scale=self.scale)

    def rows(self, start: int, stop: int) -> Hadamard:
        if self.t1 is None and self.t2 is None:
            return replace(self, w1_a=self.w1_a[start:stop], w2_a=self.w2_a[start:stop])
        return super().rows(start, stop)  # type: ignore[return-value]


@dataclass(frozen=True, eq=False)
class Kronecker(Delta):
    """LoKr: scale · w1 ⊗ w2. Each factor is given in full, as `a @ b`, or (the second) with a Tucker kernel `t2`.

    `w1` is `[rows1, columns1]`, `w2` `[rows2, columns2]` or `[rows2, columns2, kh, kw]`.
    """

    w1: Tensor | tuple[Tensor, Tensor]
    w2: Tensor | tuple[Tensor, Tensor]
    scale: float = 1.0
    t2: Tensor | None = None

    def first(self) -> Tensor:
        return self.w1 if isinstance(self.w1, torch.Tensor) else self.w1[0] @ self.w1[1].flatten(1)

    def second(self) -> Tensor:
        if isinstance(self.w2, torch.Tensor):
            return self.w2
        a, b = self.w2
        return (a @ b.flatten(1)).reshape(-1, *b.shape[1:]) if self.t2 is None else _factor(a, b, self.t2)

    @property
    def size(self) -> tuple[int, int]:
        first_rows = len(self.w1) if isinstance(self.w1, torch.Tensor) else len(self.w1[0])
        first_columns = (self.w1 if isinstance(self.w1, torch.Tensor) else self.w1[1])[0].numel()
        if isinstance(self.w2, torch.Tensor):
            return first_rows * len(self.w2), first_columns * self.w2[0].numel()
        a, b = self.w2
        if self.t2 is None:
            return first_rows * len(a), first_columns * b[0].numel()
        return first_rows * a.shape[1], first_columns * b.shape[1] * self.t2[0, 0].numel()

    def explicit(self, base: Tensor) -> Tensor:
        first, second = self.first(), self.second()
        first = first.reshape(*first.shape[:2], *[1] * (second.ndim - 2))
        return (self.scale * torch.kron(first, second.contiguous())).reshape(base.shape)

    def prepare(self, module: nn.Module) -> Kronecker:
        """With both factors multiplied out: they are small."""
        return Kronecker(w1=self.first().flatten(1), w2=self.second(), scale=self.scale)

    def output(self, module: nn.Module, x: Tensor, base: Tensor) -> Tensor:
        """(w1 ⊗ w2) x is w2 applied to each of `columns1` slices of x, and the results mixed by w1."""
        first, second = self.first(), self.second()
        if isinstance(module, torch.nn.Linear):
            slices = x.unflatten(-1, (first.shape[1], -1))  # type: ignore[no-untyped-call]  # [..., columns1, columns2]
            mixed = torch.einsum("...cr,oc->...or", functional.linear(slices, second.flatten(1)), first)
            return mixed.flatten(-2) * self.scale
        if is_convolution(module) and module.groups == 1:
            kernel = weight_of(module).shape[2:]
            slices = x.reshape(x.shape[0] * first.shape[1], -1, *x.shape[2:])  # [B * columns1, columns2, h, w]
            hidden = module._conv_forward(slices, second.reshape(second.shape[0], -1, *kernel), None)  # type: ignore[operator]
            hidden = hidden.reshape(x.shape[0], first.shape[1], *hidden.shape[1:])
            return torch.einsum("bcr...,oc->bor...", hidden, first).flatten(1, 2) * self.scale
        return super().output(module, x, base)

    def rows(self, start: int, stop: int) -> Difference:
        full = self.scale * torch.kron(self.first(), self.second().flatten(1).contiguous())
        return Difference(weight=full[start:stop])


def _factor(a: Tensor, b: Tensor, kernel: Tensor | None) -> Tensor:
    if kernel is None:
        return a @ b.flatten(1)
    return torch.einsum("ij...,jr,ip->pr...", kernel, b.flatten(1), a.flatten(1))
