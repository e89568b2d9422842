"""Settings of where results are kept, and how long."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class StorageSettings(BaseModel):
    """See the module."""

    model_config = ConfigDict(frozen=True, extra="forbid")
