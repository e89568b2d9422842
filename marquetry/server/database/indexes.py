"""Indexes of the tables, for migrations. Apart from the tables, since an index with PostgreSQL's options imports its whole dialect."""

from __future__ import annotations

from sqlalchemy import Index, text

from marquetry.server.database.tables import jobs, metadata

__all__ = ["metadata"]


def _index(name: str, *columns: object, where: str, unique: bool = False) -> None:
    condition = text(where)
    Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)  # type: ignore[arg-type]


_index("ix_jobs_turn", jobs.c.priority.desc(), jobs.c.turn, jobs.c.seq, where="state = 'queued'")
_index("ix_jobs_owner_number", jobs.c.owner, jobs.c.priority, jobs.c.number, jobs.c.seq, where="state = 'queued'")
_index("ix_jobs_owner_turn", jobs.c.owner, jobs.c.priority, jobs.c.turn, where="state = 'queued'")
_index("ix_jobs_client", jobs.c.client, where="state = 'queued'")
_index("ix_jobs_running", jobs.c.priority, jobs.c.turn, where="state = 'running'")
_index("ix_jobs_finished", jobs.c.finished_ms, jobs.c.seq, where="finished_ms IS NOT NULL")
_index("ix_jobs_idempotency", jobs.c.owner, jobs.c.idempotency_key, where="idempotency_key IS NOT NULL", unique=True)
Index("ix_jobs_owner", jobs.c.owner, jobs.c.seq)
