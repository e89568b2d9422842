"""Room: the rows of people in one part of the program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Room(Protocol):
    """Functions take a connection and never commit. Erasing twice is as erasing once."""

    name: str

    @property
    def tables(self) -> frozenset[str]:
        """The tables that this room answers for."""

    def export(self, connection: Connection, owner: str) -> Iterator[tuple[str, Iterable[dict[str, Any]]]]:
        """What is kept of somebody: rows by the name of what they are, with nothing that would prove an identity."""

    def erase(self, connection: Connection, owner: str, now_ms: int) -> dict[str, str]:
        """Erase it; says for each table what became of its rows, such as `12 deleted` or `3 kept`."""
