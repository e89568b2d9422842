"""Plans, as storage sees them: how much an owner may keep, and how long. Whoever sells plans provides them; else the settings do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from marquetry.server.configuration.storage import StorageSettings

if TYPE_CHECKING:
    from sqlalchemy import Connection

DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class StoragePlan:
    """`None` is no bound."""

    quota_bytes: int | None = None
    retention_days: int | None = None

    def expires_ms(self, created_ms: int) -> int | None:
        """When a file that is made now is deleted."""
        return None if self.retention_days is None else created_ms + self.retention_days * DAY_MS


class StoragePlans(Protocol):
    """Asked inside the transaction that keeps a file, so that plan and file agree."""

    def plan(self, connection: Connection, owner: str) -> StoragePlan:
        """What an owner's plan says of storage."""


class SettingsPlans:
    """The same for everybody, from the settings."""

    def __init__(self, settings: StorageSettings) -> None:
        self._plan = StoragePlan(settings.quota_bytes, settings.retention_days)

    def plan(self, connection: Connection, owner: str) -> StoragePlan:
        return self._plan
