"""Batches, schedules and webhooks."""

from __future__ import annotations

from marquetry.server.people_data.owned import Below, Owned, OwnedRows

ROOM = OwnedRows(
    "automation",
    Owned("webhooks"),
    Owned("webhook_deliveries"),
    Owned("batches"),
    Owned("schedules"),
    Owned("callbacks"),
    below=(
        Below("webhook_tries", "delivery_id", "webhook_deliveries"),
        Below("batch_items", "batch_id", "batches"),
        Below("schedule_runs", "schedule_id", "schedules"),
    ),
)
