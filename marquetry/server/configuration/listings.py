"""Settings of listings, search and payouts to creators."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class ListingSettings(BaseModel):
    """See the module."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    review_required: bool = Field(default=False, description="whether a moderator looks at every version before it is published")
    described_nodes: int = Field(
        default=100, ge=0, le=1000, description="how many of the most wanted published graphs the editor lists beside the caller's own"
    )
    search: Literal["database", "elasticsearch"] = Field(default="database", description="what finds listings by their words")
    elasticsearch_url: str = Field(default="", max_length=500, description="address of Elasticsearch, as http://localhost:9200")
    elasticsearch_index: str = Field(default="marquetry-listings", max_length=100, description="name of the index in Elasticsearch")
    elasticsearch_key: SecretStr | None = Field(default=None, description="API key for Elasticsearch")
    weights_bytes: int = Field(default=16 * 2**30, gt=0, description="size of one file of weights that a creator uploads")
    payout_minimum_microcredits: int = Field(
        default=20_000_000_000, ge=1, description="least earnings that are paid out, in micro-credits; 20,000 credits are 20 US dollars"
    )
    payout_method: str = Field(
        default="manual", max_length=16, description="how creators are paid: manual (a CSV for the bank), or a provider"
    )
    company: str = Field(default="Marquetry", max_length=200, description="who pays, for statements")
