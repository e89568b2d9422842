"""Indexes of this room's tables, for migrations. Apart from the tables, since an index with PostgreSQL's options imports its whole dialect."""

from __future__ import annotations

from sqlalchemy import Index, text

from marquetry.server.automation import tables


def _index(name: str, *columns: object, where: str | None = None, unique: bool = False) -> None:
    if where is None:
        Index(name, *columns, unique=unique)  # type: ignore[arg-type]
        return
    condition = text(where)
    Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)  # type: ignore[arg-type]


_index("ix_webhooks_owner", tables.webhooks.c.owner, tables.webhooks.c.created_ms)
_index("ix_webhook_deliveries_webhook", tables.webhook_deliveries.c.webhook_id, tables.webhook_deliveries.c.created_ms)
_index(
    "ix_webhook_deliveries_owner",
    tables.webhook_deliveries.c.owner,
    tables.webhook_deliveries.c.state,
    tables.webhook_deliveries.c.created_ms,
)
_index("ix_webhook_deliveries_pending", tables.webhook_deliveries.c.next_ms, where="state = 'pending'")
_index("ix_webhook_deliveries_ended", tables.webhook_deliveries.c.ended_ms)
_index("ix_webhook_tries_delivery", tables.webhook_tries.c.delivery_id, tables.webhook_tries.c.seq)
_index("ix_batches_owner", tables.batches.c.owner, tables.batches.c.created_ms)
_index("ix_batches_idempotency", tables.batches.c.owner, tables.batches.c.idempotency_key, where="idempotency_key IS NOT NULL", unique=True)
_index("ix_batch_items_job", tables.batch_items.c.job_id)
_index("ix_schedules_owner", tables.schedules.c.owner, tables.schedules.c.created_ms)
_index("ix_schedules_next", tables.schedules.c.next_ms, where="state = 'active'")
