"""LoHa and LoKr on modules of any shape."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from marquetry.engine.models.adapters.delta import Delta, LowRank
from marquetry.engine.models.adapters.product import Hadamard, Kronecker

sizes = st.integers(1, 7)


def randoms(*shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes]


def equals_its_weight(delta: Delta, module: nn.Module, x: Tensor) -> None:
    """The output that the delta adds is that of its explicit weight, before and after it is prepared."""
    weight = module.get_parameter("weight").detach()
    assert delta.fits(weight.shape)
    change = delta.explicit(weight)
    with torch.no_grad():
        base = module(x)
        expected = (
            nn.functional.linear(x, change) if isinstance(module, nn.Linear) else nn.functional.conv2d(x, change, stride=2, padding=1)
        )
        for stage in (delta, delta.prepare(module)):
            assert torch.allclose(stage.output(module, x, base), expected, atol=1e-9)
            assert torch.allclose(stage.add(module, x, base, base, -0.5), base - 0.5 * expected, atol=1e-9)


def convolution(rows: int, columns: int) -> nn.Module:
    return nn.Conv2d(columns, rows, 3, stride=2, padding=1, dtype=torch.float64)


@settings(max_examples=40, deadline=None)
@given(rows=sizes, columns=sizes, inner_rows=sizes, inner_columns=sizes, rank=sizes, factored=st.booleans(), spatial=st.booleans())
def test_a_kronecker_product_acts_as_its_matrix(
    rows: int, columns: int, inner_rows: int, inner_columns: int, rank: int, factored: bool, spatial: bool
) -> None:
    if spatial:
        first, second = randoms((rows, columns), (inner_rows, inner_columns, 3, 3))
        module, x = convolution(rows * inner_rows, columns * inner_columns), randoms((2, columns * inner_columns, 5, 4))[0]
        equals_its_weight(Kronecker(first, second, 0.5), module, x)
        return
    first, second, a, b = randoms((rows, columns), (inner_rows, inner_columns), (inner_rows, rank), (rank, inner_columns))
    linear = nn.Linear(columns * inner_columns, rows * inner_rows, dtype=torch.float64)
    x = randoms((2, 3, columns * inner_columns))[0]
    equals_its_weight(Kronecker(first, (a, b) if factored else second, 0.5), linear, x)


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 40), columns=st.integers(1, 40), rank=st.integers(1, 3), other=st.integers(1, 3), spatial=st.booleans())
def test_a_hadamard_product_acts_as_its_matrix(rows: int, columns: int, rank: int, other: int, spatial: bool) -> None:
    width = columns * 9 if spatial else columns
    a, b, c, d = randoms((rows, rank), (rank, width), (rows, other), (other, width))
    delta = Hadamard(a, b, c, d, 0.5)
    if spatial:
        equals_its_weight(delta, convolution(rows, columns), randoms((2, columns, 5, 4))[0])
    else:
        equals_its_weight(delta, nn.Linear(columns, rows, dtype=torch.float64), randoms((2, 3, columns))[0])


def test_a_hadamard_product_of_small_ranks_stays_factored() -> None:
    a, b, c, d = randoms((64, 2), (2, 64), (64, 2), (2, 64))
    delta = Hadamard(a, b, c, d)
    prepared = delta.prepare(nn.Linear(64, 64, dtype=torch.float64))
    assert isinstance(prepared, LowRank)
    assert prepared.down.shape == (4, 64)


@settings(max_examples=20, deadline=None)
@given(start=st.integers(0, 11), length=st.integers(1, 12))
def test_rows_of_products_are_rows_of_their_matrices(start: int, length: int) -> None:
    stop = min(12, start + length)
    base = torch.zeros(12, 10, dtype=torch.float64)
    part = torch.zeros(stop - start, 10, dtype=torch.float64)
    first, second, a, b = randoms((3, 2), (4, 5), (12, 2), (2, 10))
    for delta in (Kronecker(first, second, 0.5), Hadamard(a, b, a, b, 0.5)):
        assert torch.allclose(delta.rows(start, stop).explicit(part), delta.explicit(base)[start:stop])
