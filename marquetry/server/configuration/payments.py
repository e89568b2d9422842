"""Settings of payment providers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class PaymentSettings(BaseModel):
    """See the module."""

    model_config = ConfigDict(frozen=True, extra="forbid")
