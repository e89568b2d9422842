"""Partial indexes of the ledger, for migrations. Apart from the tables, since PostgreSQL's options import its whole dialect."""

from __future__ import annotations

from sqlalchemy import Index, text

from marquetry.marketplace.ledger.tables import grants, holds, journal
from marquetry.marketplace.schema import metadata

__all__ = ["metadata"]


def _index(name: str, column: object, where: str) -> None:
    condition = text(where)
    Index(name, column, sqlite_where=condition, postgresql_where=condition)  # type: ignore[arg-type]


_index("ix_ledger_journal_run_id", journal.c.run_id, "run_id <> ''")
_index("ix_ledger_journal_reverses", journal.c.reverses, "reverses > 0")
_index("ix_ledger_holds_expires_ms", holds.c.expires_ms, "state = 'open'")
_index("ix_ledger_holds_owner", holds.c.owner, "state = 'open'")
_index("ix_ledger_grants_owner", grants.c.owner, "remaining > 0")
_index("ix_ledger_grants_expires_ms", grants.c.expires_ms, "remaining > 0")
