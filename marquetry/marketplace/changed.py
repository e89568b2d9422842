"""Changed: whose books a transaction has touched. The ledger notes it with the connection; who commits reads it and tells those who wait."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

KEY = "changed_owners"
MOST = 100_000


def note_changed(connection: Connection, owners: Iterable[str]) -> None:
    """Remember owners until `take_changed`. More than anybody can wait for are forgotten: who waits looks by themselves now and then."""
    noted: set[str] = connection.info.setdefault(KEY, set())
    if len(noted) < MOST:
        noted.update(owners)


def take_changed(connection: Connection) -> set[str]:
    """The owners that were noted since it was asked last; some whose change was taken back may be among them."""
    found: set[str] = connection.info.pop(KEY, set())
    return found
