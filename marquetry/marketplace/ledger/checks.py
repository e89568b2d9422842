"""Checks of what the ledger is given: whole amounts within bounds, names and texts that both databases can hold."""

from __future__ import annotations

import hashlib

import orjson

from marquetry.marketplace.ledger.errors import InvalidEntry
from marquetry.marketplace.ledger.tables import DESCRIPTION_CHARACTERS

MAX_AMOUNT_MICROCREDITS = 10**15
"""Of one entry: a thousand million credits. Nine thousand such fit into an account."""


def digest(*parts: object) -> str:
    """What stands for these parts, and for no others."""
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:32]


def checked_amount(value: int, *, least: int = 0) -> int:
    """A whole number of micro-credits. Raises InvalidEntry."""
    if type(value) is not int:
        raise InvalidEntry(f"an amount is a whole number of micro-credits, not {type(value).__name__}")
    if not least <= value <= MAX_AMOUNT_MICROCREDITS:
        raise InvalidEntry(f"an amount has {least:,} to {MAX_AMOUNT_MICROCREDITS:,} micro-credits; this one has {value:,}")
    return value


def checked_name(value: str, what: str, characters: int, *, empty: bool = False) -> str:
    """A name of at most so many characters. Raises InvalidEntry."""
    if value.isascii() and "\x00" not in value and 0 < len(value) <= characters:
        return value
    if not (value or empty) or len(value) > characters or not _storable(value):
        raise InvalidEntry(f"{what} has {0 if empty else 1} to {characters} characters, none of them NUL or half of a pair")
    return value


def shortened(description: str) -> str:
    """A description as it is kept: what can't be stored is left out, what is too long is cut."""
    if len(description) <= DESCRIPTION_CHARACTERS and _storable(description):
        return description
    return description.replace("\x00", "").encode("utf-8", "ignore").decode("utf-8")[:DESCRIPTION_CHARACTERS]


def _storable(value: str) -> bool:
    if value.isascii():
        return "\x00" not in value
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\x00" not in value
