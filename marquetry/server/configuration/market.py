"""Settings of prices, plans, payouts."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class MarketSettings(BaseModel):
    """See the module."""

    model_config = ConfigDict(frozen=True, extra="forbid")
