"""Settings of batches, schedules, webhooks."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class AutomationSettings(BaseModel):
    """See the module."""

    model_config = ConfigDict(frozen=True, extra="forbid")
