"""Settings of prices, plans, payouts."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class MarketSettings(BaseModel):
    """See the module."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(default=False, description="whether jobs cost credits; off: everything is free and nothing is metered")
    default_plan: str = Field(default="house:payg", max_length=100, description="plan of people without a subscription, as family:name")
    price_books: Path | None = Field(
        default=None, description="folder with further price books (*.yaml), or with some that replace those that ship"
    )
    plan_files: Path | None = Field(default=None, description="folder with further families of plans (*.yaml)")
    campaigns: Path | None = Field(default=None, description="file with campaigns in place of those that ship")
    modifiers: Path | None = Field(default=None, description="file with factors on prices in place of those that ship")
    trial: bool = Field(default=True, description="whether new people are given credits to begin with")
    split_basis: Literal["royalty", "gross"] = Field(
        default="royalty", description="what creators have their part of: their royalties, or the whole charge of the node"
    )
    beyond_concurrency: Literal["wait", "refuse"] = Field(
        default="wait", description="jobs beyond those that a plan runs at the same time wait for their turn, or are refused"
    )
    unknown_pixels: int = Field(default=2048, ge=64, le=16384, description="side of pictures that only the run will know, for quotes")
    unknown_pictures: int = Field(default=4, ge=1, le=4096, description="number of pictures that only the run will know, for quotes")
    unknown_number: int = Field(default=100, ge=1, le=10_000, description="steps that only the run will know, for quotes")
    low_balance_microcredits: int = Field(default=100_000_000, ge=0, description="balance below which the owner is told; 0: never")
