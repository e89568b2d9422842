"""The price books hold what was stated, for as long as it holds; what a book lacks is in the house's."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import marquetry.nodes
from marquetry.engine.registry import Registry
from marquetry.marketplace.pricing.book import HOUSE, Books, parse_book, shipped_books
from marquetry.marketplace.pricing.errors import InvalidBook, UnknownBook, UnknownOperation
from marquetry.marketplace.schema import MICROCREDITS

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000


def price(book: str, operation: str, quantity: int = 1) -> int:
    """In credits of 0.001 US dollars."""
    amount = shipped_books().row(book, operation, NOW_MS).price(quantity)
    assert amount % MICROCREDITS == 0
    return amount // MICROCREDITS


@pytest.mark.parametrize(
    ("operation", "quantity", "credits"),
    [
        ("image.standard", 1, 20), ("image.premium", 1, 50), ("upscale.4x", 1, 30), ("upscale.8x", 1, 60), ("face.restore", 3, 60),
        ("bg.remove", 1, 15), ("lipsync.basic", 4, 200), ("lipsync.advanced", 1, 200), ("train.lora50", 50, 200), ("train.lora200", 200, 500),
        ("train.finetune", 1, 1000), ("video.short", 1, 500), ("video.medium", 1, 1000), ("video.long", 1, 2000),
    ],
)  # fmt: skip
def test_the_unified_book_has_the_stated_prices(operation: str, quantity: int, credits: int) -> None:
    assert price("unified-000", operation, quantity) == price(HOUSE, operation, quantity) == credits


@pytest.mark.parametrize(
    ("seconds", "credits"), [(1, 500), (5, 500), (6, 1000), (15, 1000), (16, 2000), (30, 2000), (31, 2067), (60, 4010)]
)
def test_a_clip_costs_by_the_band_that_its_seconds_fall_into(seconds: int, credits: int) -> None:
    assert price(HOUSE, "video", seconds) == credits


@pytest.mark.parametrize(
    ("operation", "quantity", "buzz"),
    [
        ("character.setup", 1, 100), ("style.extract", 1, 0), ("style.preview", 1, 0), ("style.import", 1, 20), ("environment.generate", 4, 20),
        ("environment.generate", 5, 40), ("location.create", 1, 30), ("location.pack5", 1, 120), ("location.reuse", 9, 0),
        ("panel.generate", 4, 25), ("anchor.regenerate", 1, 10), ("inpaint.edit", 1, 15), ("export.hires", 1, 10), ("train.style", 1, 300),
    ],
)  # fmt: skip
def test_the_comics_book_counts_in_buzz_of_a_cent(operation: str, quantity: int, buzz: int) -> None:
    assert price("buzz-002", operation, quantity) == buzz * 10


@pytest.mark.parametrize(
    ("operation", "low", "high"),
    [
        ("image.simple", 1, 2), ("image.complex", 3, 4), ("i2i.basic", 2, 3), ("i2i.advanced", 4, 6), ("video.5s", 20, 30), ("video.15s", 40, 60),
        ("lipsync.basic", 10, 15), ("lipsync.advanced", 20, 25), ("voice.30s", 5, 8), ("voice.2min", 15, 20),
    ],
)  # fmt: skip
def test_the_other_book_of_cents_stays_within_the_stated_ranges(operation: str, low: int, high: int) -> None:
    row = shipped_books().row("marty-004", operation, NOW_MS)
    assert (row.min_microcredits, row.max_microcredits) == (low * 10 * MICROCREDITS, high * 10 * MICROCREDITS)
    assert low * 10 <= row.base_microcredits // MICROCREDITS <= high * 10


def test_lip_sync_costs_by_the_second_in_one_book_and_by_the_clip_in_another() -> None:
    assert price(HOUSE, "lipsync.basic", 10) == 500
    assert price("marty-004", "lipsync.basic", 10) == price("marty-004", "lipsync.basic", 1) == 120


@pytest.mark.parametrize(
    ("operation", "cents"),
    [("image.flux", 12), ("image.sdxl", 8), ("image.sd15", 3), ("inpaint.local", 8), ("face.restore", 2), ("upscale.4x", 15)],
)
def test_the_transparent_book_knows_what_things_cost(operation: str, cents: int) -> None:
    assert shipped_books().row("transparent-001", operation, NOW_MS).cost(1) == cents * 10 * MICROCREDITS


def test_what_runs_here_is_free_in_the_pass_through_book() -> None:
    assert price("studio-003", "voice.local", 600) == price("studio-003", "music.local") == 0
    assert 10 <= price("studio-003", "image.standard") <= 30
    assert price("studio-003", "upscale.4x") == 10
    assert price("studio-003", "voice.characters", 30_000) == 5_000


def test_local_inpainting_is_free_in_the_house_and_priced_in_comics() -> None:
    assert (price(HOUSE, "inpaint.local"), price("buzz-002", "inpaint.local")) == (0, 150)


def test_what_a_book_lacks_is_in_the_house() -> None:
    assert shipped_books().row("buzz-002", "bg.remove", NOW_MS).book == HOUSE
    with pytest.raises(UnknownOperation, match=r"image\.unheard"):
        shipped_books().row("buzz-002", "image.unheard", NOW_MS)
    with pytest.raises(UnknownBook, match="house"):
        shipped_books().row("nobody", "bg.remove", NOW_MS)


def test_every_operation_of_a_built_in_node_has_a_price() -> None:
    types = Registry()
    types.scan(marquetry.nodes)
    named = {usage.operation for node in types.values() if node.usage is not None for usage in node.usage({})}
    assert {"image.standard", "lora.apply", "inpaint.local"} <= named
    for operation in named | {"image.premium", "graph.use"}:
        shipped_books().row(HOUSE, operation, NOW_MS)


def book(*rows: dict[str, Any], **more: Any) -> Books:
    return Books([parse_book({"book": HOUSE, "rows": list(rows), **more})])


def test_a_price_holds_from_its_day_until_before_its_end() -> None:
    first = {"op": "x", "base": 5, "until": date(2027, 1, 1)}
    later = {"op": "x", "base": 7, "from": date(2027, 1, 1), "until": date(2027, 2, 1)}
    books = book(first, later)
    turn_ms = 1_798_761_600_000  # 2027-01-01 in UTC
    assert [books.row(HOUSE, "x", turn_ms + after).price(1) // MICROCREDITS for after in (-1, 0, 31 * DAY_MS - 1)] == [5, 7, 7]
    with pytest.raises(UnknownOperation):
        books.row(HOUSE, "x", turn_ms + 31 * DAY_MS)


def test_a_price_that_begins_later_takes_the_place_of_one_without_an_end() -> None:
    books = book({"op": "x", "base": 5}, {"op": "x", "base": 7, "from": date(2027, 1, 1)})
    assert [books.row(HOUSE, "x", at).price(1) // MICROCREDITS for at in (0, 1_798_761_600_000)] == [5, 7]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"op": "x"}, "base must be a whole number"),
        ({"op": "x", "base": 1.5}, "base must be a whole number"),
        ({"op": "x", "base": -1}, "base must be a whole number"),
        ({"op": "x", "base": True}, "base must be a whole number"),
        ({"op": "x", "base": 5, "max": 4}, "base is not between"),
        ({"op": "x", "base": 5, "min": 6, "max": 4}, "min is above max"),
        ({"op": "x", "base": 5, "colour": "red"}, "unknown fields colour"),
        ({"op": "x", "base": 5, "from": "soon"}, "days such as"),
        ({"op": "x", "bands": [{"up_to": 5, "base": 9}, {"base": 3}]}, "more never cost less"),
        ({"op": "x", "bands": [{"up_to": 5, "base": 9}]}, "every band but the last"),
    ],
)
def test_a_row_that_is_no_price_is_refused_with_its_place(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidBook, match=rf"book, row 1 \(x\).*{reason}"):
        book(row)


def test_two_rows_that_begin_together_are_refused() -> None:
    with pytest.raises(InvalidBook, match="begin at the same time"):
        book({"op": "x", "base": 1}, {"op": "x", "base": 2})


@given(st.sampled_from([(b.id, op) for b in shipped_books() for op in b.rows]), st.integers(0, 5000), st.integers(0, 500))
def test_more_never_costs_less(where: tuple[str, str], quantity: int, more: int) -> None:
    row = shipped_books().row(*where, NOW_MS)
    assert row.price(quantity) <= row.price(quantity + more)
    assert row.cost(quantity) <= row.cost(quantity + more)
