"""A history as CSV. A cell that a spreadsheet would take for a formula is told as text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from marquetry.marketplace.ledger import Entry

COLUMNS = (
    "id",
    "created_ms",
    "kind",
    "amount_microcredits",
    "paid",
    "granted",
    "held",
    "accrued",
    "payable",
    "run_id",
    "node_id",
    "operation",
    "reference",
    "description",
    "listings",
)
HEADER = (",".join(COLUMNS) + "\r\n").encode()
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def rows(entries: Iterable[Entry]) -> bytes:
    """Lines of entries, without the line of names."""
    text = io.StringIO()
    writer = csv.writer(text)
    for entry in entries:
        writer.writerow([_cell(getattr(entry, name)) for name in COLUMNS])
    return text.getvalue().encode()


def _cell(value: object) -> object:
    if isinstance(value, int):
        return value
    told = " ".join(value) if isinstance(value, tuple) else str(value)
    return f"'{told}" if told.startswith(FORMULA) else told
