"""What the routes of prices and plans give. Amounts are whole micro-credits; a credit is a million of them, and 0.001 US dollars."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Quality = Literal["standard", "high", "ultra"]


class QuoteRequest(BaseModel):
    """A graph to be priced. A body that is itself a graph, in ComfyUI's API format or its editor's, means the same as one with only `graph`."""

    model_config = ConfigDict(extra="forbid")

    graph: dict[str, Any] = Field(description="nodes by id, as ComfyUI's API format has them, or a workflow as its editor saves it")
    targets: list[str] | None = Field(default=None, description="ids of the output nodes to make; all when left out")
    quality: Quality = Field(default="standard", description="what the job would be submitted with, as extra.quality")


class DisplayUnitModel(BaseModel):
    """What the plan shows credits as."""

    name: str
    microcredits: int


class AdjustmentModel(BaseModel):
    """A step from the price of the book to the amount."""

    name: str
    reason: str
    amount_microcredits: int


class OperationModel(BaseModel):
    """What an operation costs. `covered` of its quantity are paid by a quota of the plan."""

    operation: str
    quantity: int
    unit: str
    unit_price_microcredits: int
    adjustments: list[AdjustmentModel]
    covered: int
    amount_microcredits: int


class RoyaltyModel(BaseModel):
    """What a listing gets, and what of it its creator earns. `mode`: per_use, owned (bought before) or free."""

    listing: str
    creator: str
    listing_type: str
    mode: str
    amount_microcredits: int
    earned_microcredits: int
    split: str


class LineModel(BaseModel):
    """One node of the graph. `free`: its result was there already; in a quote: its owner made the same lately."""

    node_id: str
    type: str
    operations: list[OperationModel]
    royalties: list[RoyaltyModel]
    amount_microcredits: int
    maximum_microcredits: int
    free: bool


class RefusalModel(BaseModel):
    """Why a job of this graph would be refused."""

    code: str
    message: str
    details: dict[str, Any]


class QuoteModel(BaseModel):
    """`maximum` is what is held when the job is submitted, and never exceeded; `total` what it will cost if what was made lately is still
    there. Both also in the plan's unit, rounded up."""

    plan: str
    book: str
    quoted_ms: int
    unit: DisplayUnitModel
    lines: list[LineModel]
    covered_images: int = Field(description="images that the plan's monthly number pays for")
    total_microcredits: int
    maximum_microcredits: int
    total: int
    maximum: int
    spendable_microcredits: int
    enough: bool = Field(description="whether there are credits for the maximum")
    refusal: RefusalModel | None = None


class ReceiptModel(BaseModel):
    """`state`: open while the job goes on, then how it ended. `pending` are quoted nodes of which nothing was charged."""

    job_id: str
    plan: str
    state: str
    quoted_ms: int
    closed_ms: int | None
    lines: list[LineModel]
    pending: list[str]
    maximum_microcredits: int
    charged_microcredits: int
    unit: DisplayUnitModel
    charged: int


class PlanModel(BaseModel):
    """`prices` are in minor units (cents, paise) by currency, then by month or year."""

    id: str
    family: str
    title: str
    role: str
    book: str
    unit: DisplayUnitModel
    prices: dict[str, dict[str, int]]
    grant_microcredits: int = Field(description="given at the start of each month")
    modifiers: list[str]
    entitlements: dict[str, Any]
    contact_sales: bool
    note: str


class PackModel(BaseModel):
    """Credits to buy once; `prices` in minor units by currency."""

    id: str
    microcredits: int
    prices: dict[str, int]


class PlanList(BaseModel):
    plans: list[PlanModel]
    packs: list[PackModel]


class ProjectionModel(BaseModel):
    """At the pace of the last `days`. `lasts_days`: how long what there is will do; nothing when nothing was used."""

    days: int
    spent_microcredits: int
    per_day_microcredits: int
    spendable_microcredits: int
    lasts_days: int | None
    by_operation: dict[str, int]
    is_low: bool


class SubscriptionModel(BaseModel):
    """The caller's plan. Without a subscription, `status` is `none` and the month is that of the calendar."""

    plan: PlanModel
    status: str
    interval: str | None
    currency: str | None
    price_minor: int | None
    period_start_ms: int
    period_end_ms: int
    month_start_ms: int
    month_end_ms: int
    cancel_at_period_end: bool
    next_plan: str | None
    permissions: list[str]
    used: dict[str, int] = Field(description="of what is counted by the month")
    usage: ProjectionModel


class MarginModel(BaseModel):
    """One plan in one currency: what it brings in a month, what it costs when all of it goes into what costs most, and what really was."""

    plan: str
    currency: str
    price_minor: int
    income_microcredits: int
    fee_microcredits: int
    worst_cost_microcredits: int
    worst_operation: str
    margin_microcredits: int
    loses: bool
    subscribers: int
    charged_microcredits: int
    cost_microcredits: int
    unbilled_microcredits: int


class MarginReport(BaseModel):
    plans: list[MarginModel]
    warnings: list[str]
