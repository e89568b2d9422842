"""Tables from a network's tensors to those of a file: the one form in which every layout is written down, used for loading and saving."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Form: TypeAlias = Literal["same", "squeezed", "transposed", "third_0", "third_1", "third_2", "swapped", "rows"]
SUFFIXES = ("weight", "bias")


@dataclass(frozen=True, slots=True)
class Piece:
    """Where a network's tensor stands in a file, and how.

    `squeezed`: the file has a 1x1 convolution `[O, I, 1, 1]` where the network has a matrix; `transposed`: the matrix is
    turned; `third_n`: the file keeps queries, keys and values in one tensor along the first dimension; `swapped`: its two halves along
    that dimension change places; `rows`: the rows from `rows[0]` to `rows[1]` of a tensor that the file keeps in one.
    """

    source: str
    form: Form = "same"
    rows: tuple[int, int] = (0, 0)


Table: TypeAlias = Mapping[str, Piece]  # name in the network -> place in the file
Modules: TypeAlias = Iterable[tuple[str, str]]  # (module in the network, module in the file)


def table_of_modules(modules: Modules, names: Mapping[str, object], prefix: str = "", form: Form = "same") -> dict[str, Piece]:
    """The table of the weights and biases that `names` (a header) has of these modules, under `prefix`."""
    return {
        f"{target}.{suffix}": Piece(f"{prefix}{source}.{suffix}", form)
        for target, source in modules
        for suffix in SUFFIXES
        if f"{prefix}{source}.{suffix}" in names
    }


def same_names(header: Mapping[str, object], prefix: str) -> dict[str, Piece]:
    """The table of a file in the network's own names under `prefix`."""
    return {name.removeprefix(prefix): Piece(name) for name in header if name.startswith(prefix)}


def thirds(targets: tuple[str, str, str], source: str, names: Mapping[str, object], prefix: str = "") -> dict[str, Piece]:
    """Queries, keys and values that the file keeps in one tensor."""
    forms: tuple[Form, ...] = ("third_0", "third_1", "third_2")
    return {
        f"{target}.{suffix}": Piece(f"{prefix}{source}.{suffix}", form)
        for target, form in zip(targets, forms, strict=True)
        for suffix in SUFFIXES
        if f"{prefix}{source}.{suffix}" in names
    }


def under(prefix: str, modules: Modules) -> Iterator[tuple[str, str]]:
    """The modules with `prefix` before both names."""
    for target, source in modules:
        yield prefix + target, prefix + source


def count(names: Mapping[str, object], pattern: str) -> int:
    """How many of `pattern.format(0)`, `pattern.format(1)`, ... are there, without a gap."""
    number = 0
    while pattern.format(number) in names:
        number += 1
    return number
