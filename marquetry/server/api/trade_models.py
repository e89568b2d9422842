"""Bodies and answers of buying, reviewing, collecting and earning."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from marquetry.server.api.market_models import MAX_MICROCREDITS, Item

STRICT = ConfigDict(extra="forbid")


class PurchaseBody(BaseModel):
    model_config = STRICT

    listing: str = Field(min_length=1, max_length=130, description="id, or creator/slug")
    coupon: str = Field(default="", max_length=40)
    key: str = Field(
        default="", max_length=128, description="the same key buys once, however often it is sent; or the header Idempotency-Key"
    )


class SaleModel(BaseModel):
    id: str
    listing: str
    mode: str
    list_price_microcredits: int
    price_microcredits: int
    ends_ms: int | None = Field(default=None, description="of a subscription")
    replayed: bool = False


class PurchaseModel(BaseModel):
    id: str
    listing: str
    name: str
    title: str
    mode: str
    price_microcredits: int
    time_ms: int


class Purchases(BaseModel):
    purchases: list[PurchaseModel]


class PinBody(BaseModel):
    model_config = STRICT

    version: str = Field(default="", max_length=64, description="stay with this version; empty: follow the newest")


class ReviewBody(BaseModel):
    model_config = STRICT

    stars: int = Field(ge=1, le=5)
    text: str = Field(default="", max_length=5_000)


class TextBody(BaseModel):
    model_config = STRICT

    text: str = Field(default="", max_length=5_000)


class ReviewModel(BaseModel):
    id: str
    author: str
    stars: int
    text: str
    version: str
    reply: str
    created_ms: int
    updated_ms: int
    replied_ms: int | None = None
    mine: bool = False


class Reviews(BaseModel):
    reviews: list[ReviewModel]


class CollectionBody(BaseModel):
    model_config = STRICT

    title: str = Field(min_length=1, max_length=120)
    description: str = Field(default="", max_length=2_000)
    public: bool = False
    items: list[str] | None = Field(default=None, max_length=1_000, description="ids of listings, in their order")


class CollectionModel(BaseModel):
    id: str
    title: str
    description: str
    public: bool
    mine: bool = False
    items: list[Item] = []
    updated_ms: int


class Collections(BaseModel):
    collections: list[CollectionModel]


class ReportBody(BaseModel):
    model_config = STRICT

    reason: Literal["illegal", "stolen", "deceptive", "harmful", "broken", "spam", "other"]
    text: str = Field(default="", max_length=2_000)


class ReportModel(BaseModel):
    id: str
    listing: str
    name: str
    title: str
    reason: str
    text: str
    state: str
    resolution: str
    created_ms: int
    resolved_ms: int | None = None


class Reports(BaseModel):
    reports: list[ReportModel]


class ResolveBody(BaseModel):
    model_config = STRICT

    uphold: bool = Field(description="take the listing down")
    resolution: str = Field(default="", max_length=500)


class CouponBody(BaseModel):
    model_config = STRICT

    code: str = Field(min_length=3, max_length=40)
    percent: int = Field(default=0, ge=0, le=100)
    amount_microcredits: int = Field(default=0, ge=0, le=MAX_MICROCREDITS)
    listing_id: str | None = Field(default=None, max_length=64, description="the only listing; all of yours when left out")
    starts_ms: int | None = Field(default=None, ge=0, le=2**53)
    ends_ms: int | None = Field(default=None, ge=0, le=2**53)
    max_uses: int | None = Field(default=None, ge=1, le=10**9)
    max_per_person: int = Field(default=1, ge=1, le=10**6)


class CouponModel(BaseModel):
    id: str
    code: str
    percent: int
    amount_microcredits: int
    listing_id: str | None = None
    starts_ms: int
    ends_ms: int | None = None
    max_uses: int | None = None
    max_per_person: int
    uses: int


class Coupons(BaseModel):
    coupons: list[CouponModel]


class FeatureBody(BaseModel):
    model_config = STRICT

    listing: str = Field(min_length=1, max_length=130)
    slot: str = Field(min_length=1, max_length=40)
    place: int = Field(default=0, ge=0, le=1000)
    starts_ms: int = Field(ge=0, le=2**53)
    ends_ms: int = Field(ge=0, le=2**53)


class Made(BaseModel):
    id: str


class ReviewQueue(BaseModel):
    versions: list[dict[str, Any]]


class Follow(BaseModel):
    followers: int


class Followers(BaseModel):
    followers: list[dict[str, Any]]


class Earned(BaseModel):
    accrued_microcredits: int
    payable_microcredits: int
    paid_out_microcredits: int


class EarningsModel(Earned):
    entries: list[dict[str, Any]]


class StatsModel(Earned):
    listings: list[dict[str, Any]]
    days: list[dict[str, int]]
    people: int
