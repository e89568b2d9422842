"""Price books: data files with validity dates. What a book lacks is in `house`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from marquetry.marketplace.pricing.errors import InvalidBook, UnknownBook, UnknownOperation
from marquetry.marketplace.pricing.row import Band, PriceRow
from marquetry.marketplace.schema import MICROCREDITS

HOUSE = "house"
FOLDER = Path(__file__).parent / "books"
FIELDS = frozenset(
    {"op", "unit", "base", "min", "max", "creator_sets", "per", "bands", "cost", "from", "until", "families", "note"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PriceBook:
    """One book: rows by operation."""

    id: str
    title: str
    rows: Mapping[str, tuple[PriceRow, ...]]

    def find(self, operation: str, now_ms: int) -> PriceRow | None:
        """The row that holds at that time; of several the one that began last."""
        valid = [row for row in self.rows.get(operation, ()) if row.valid_at(now_ms)]
        return max(valid, key=lambda row: row.valid_from_ms, default=None)


class Books:
    """All books. `row` looks into one, then into `house`."""

    def __init__(self, books: Iterable[PriceBook]) -> None:
        self._books = {book.id: book for book in books}

    def __iter__(self) -> Iterator[PriceBook]:
        return iter(self._books.values())

    def __getitem__(self, id: str) -> PriceBook:
        """Raises UnknownBook."""
        if id not in self._books:
            raise UnknownBook(f"there is no price book '{id[:100]}'; there are {', '.join(sorted(self._books))}")
        return self._books[id]

    def find(self, book: str, operation: str, now_ms: int) -> PriceRow | None:
        """The row of an operation, if one holds. Raises UnknownBook."""
        found = self[book].find(operation, now_ms)
        if found is None and book != HOUSE and HOUSE in self._books:
            found = self._books[HOUSE].find(operation, now_ms)
        return found

    def row(self, book: str, operation: str, now_ms: int) -> PriceRow:
        """As `find`. Raises UnknownOperation."""
        found = self.find(book, operation, now_ms)
        if found is None:
            raise UnknownOperation(
                f"neither the price book '{book}' nor '{HOUSE}' has a price for '{operation[:100]}' at that time; add a row to one of them",
                operation=operation[:100],
            )
        return found


@cache
def shipped_books() -> Books:
    """The books that ship."""
    return Books(read_book(path) for path in sorted(FOLDER.glob("*.yaml")))


def books_with(folder: Path | None) -> Books:
    """The books that ship, and those of an operator's folder; one of the same name takes the place of ours. Raises InvalidBook."""
    if folder is None:
        return shipped_books()
    own = [read_book(path) for path in sorted(folder.glob("*.yaml"))]
    return Books([*shipped_books(), *own])


def read_book(path: Path) -> PriceBook:
    """A book from its file. Raises InvalidBook."""
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InvalidBook(f"the price book {path.name} can't be read: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("rows"), list):
        raise InvalidBook(f"the price book {path.name} must hold book, title, unit_mc and a list of rows")
    return parse_book(data, path.name)


def parse_book(data: Mapping[str, Any], where: str = "book") -> PriceBook:
    """A book of plain values; `unit_mc` says how many credits the amounts in it count. Raises InvalidBook."""
    unit = whole(data.get("unit_mc", 1), f"{where}: unit_mc") * MICROCREDITS
    markup = whole(data.get("markup", 0), f"{where}: markup")
    id = str(data.get("book", ""))
    rows: dict[str, list[PriceRow]] = {}
    for number, raw in enumerate(data["rows"]):
        row = _row(id, raw, unit, markup, f"{where}, row {number + 1}")
        rows.setdefault(row.operation, []).append(row)
    for operation, group in rows.items():
        _check_dates(operation, group, where)
    return PriceBook(id, str(data.get("title", id)), {operation: tuple(group) for operation, group in rows.items()})


def _row(book: str, raw: Any, unit: int, markup: int, where: str) -> PriceRow:
    if not isinstance(raw, dict) or "op" not in raw:
        raise InvalidBook(f"{where}: a row has op, unit and base")
    where = f"{where} ({raw['op']})"
    unknown = raw.keys() - FIELDS
    if unknown:
        raise InvalidBook(f"{where}: unknown fields {', '.join(sorted(map(str, unknown)))}")
    bands = tuple(_band(band, unit, where) for band in raw.get("bands", ()))
    base = bands[0].base_microcredits if bands else whole(raw.get("base"), f"{where}: base") * unit
    cost = whole(raw["cost"], f"{where}: cost") * unit if "cost" in raw else base // markup if markup else 0
    row = PriceRow(
        book=book,
        operation=str(raw["op"]),
        unit=str(raw.get("unit", "image")),
        base_microcredits=base,
        min_microcredits=_bound(raw, "min", unit, where),
        max_microcredits=_bound(raw, "max", unit, where),
        creator_sets=raw.get("creator_sets") is True,
        per=whole(raw.get("per", 1), f"{where}: per"),
        bands=bands,
        cost_microcredits=cost,
        valid_from_ms=date_ms(raw.get("from"), where) or 0,
        valid_to_ms=date_ms(raw.get("until"), where),
        families=tuple(map(str, raw.get("families", ()))),
        note=str(raw.get("note", "")),
    )
    _check_row(row, where)
    return row


def _band(raw: Any, unit: int, where: str) -> Band:
    if not isinstance(raw, dict):
        raise InvalidBook(f"{where}: a band has base, and up_to, or included and each")
    up_to = raw.get("up_to")
    return Band(
        whole(raw.get("base"), f"{where}: base of a band") * unit,
        None if up_to is None else whole(up_to, f"{where}: up_to"),
        whole(raw.get("included", 0), f"{where}: included"),
        whole(raw.get("each", 0), f"{where}: each") * unit,
    )


def _check_row(row: PriceRow, where: str) -> None:
    low, high = row.min_microcredits, row.max_microcredits
    if low is not None and high is not None and low > high:
        raise InvalidBook(f"{where}: min is above max")
    if not row.creator_sets and not (low or 0) <= row.base_microcredits <= (row.base_microcredits if high is None else high):
        raise InvalidBook(f"{where}: base is not between min and max")
    if row.bands and (row.bands[-1].up_to is not None or any(band.up_to is None for band in row.bands[:-1])):
        raise InvalidBook(f"{where}: every band but the last has up_to")
    edges = [band.up_to for band in row.bands if band.up_to is not None]
    prices = [price for edge in edges for price in (row.price(edge), row.price(edge + 1))]
    if edges != sorted(set(edges)) or prices != sorted(prices):
        raise InvalidBook(f"{where}: bands must rise, and more never cost less")


def _check_dates(operation: str, rows: Sequence[PriceRow], where: str) -> None:
    starts = [row.valid_from_ms for row in rows]
    if len(set(starts)) != len(starts):
        raise InvalidBook(f"{where}: two rows of {operation} begin at the same time")
    if any(row.valid_to_ms is not None and row.valid_to_ms <= row.valid_from_ms for row in rows):
        raise InvalidBook(f"{where}: a row of {operation} ends before it begins")


def whole(value: Any, where: str) -> int:
    """A number that was read, from 0 on. Raises InvalidBook."""
    if type(value) is not int or value < 0:
        raise InvalidBook(f"{where} must be a whole number from 0 on, not {value!r}")
    return value


def _bound(raw: Mapping[str, Any], name: str, unit: int, where: str) -> int | None:
    return whole(raw[name], f"{where}: {name}") * unit if name in raw else None


def date_ms(value: Any, where: str) -> int | None:
    """The beginning of a day in UTC. Raises InvalidBook."""
    if value is None:
        return None
    if isinstance(value, datetime) or not isinstance(value, date):
        raise InvalidBook(f"{where}: from and until are days such as 2026-01-31, not {value!r}")
    moment = datetime(value.year, value.month, value.day, tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)).days * 86_400_000
