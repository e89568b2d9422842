"""Settings of batches, schedules, webhooks."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator


class AutomationSettings(BaseModel):
    """See the module."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    private_hosts: tuple[str, ...] = Field(
        default=(),
        description="hosts inside the operator's network that files may be fetched from and webhooks sent to: names, addresses or networks, "
        "each with a port or without",
    )

    @field_validator("private_hosts")
    @classmethod
    def _can_be_read(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        from marquetry.server.http.addresses import PrivateHosts

        PrivateHosts.read(entries)
        return entries
