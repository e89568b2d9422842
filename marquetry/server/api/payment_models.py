"""Bodies and answers of payments and billing. Money of currencies is in minor units: cents, paise."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from marquetry.server.api.price_models import PackModel

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Text = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[^\x00-\x08\x0b-\x1f]*$")]
Path = Annotated[str, StringConstraints(max_length=200, pattern=r"^/([A-Za-z0-9_-][A-Za-z0-9_/-]*)?$")]
MAX_MINOR = 10**12


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Purchase(Body):
    pack: str = Field(max_length=100, description="id of a pack, as /api/v1/plans lists them")
    currency: Currency | None = Field(default=None, description="one that the pack has a price in; by default its first")
    provider: str | None = Field(default=None, max_length=32, description="stripe, razorpay or paypal; by default the one for the currency")
    return_path: Path = Field(default="/billing", description="page of this server to which the provider leads back")


class Subscribe(Body):
    plan: str = Field(max_length=100, description="id of a plan, as family:name")
    interval: Literal["month", "year"] = "month"
    currency: Currency | None = None
    provider: str | None = Field(default=None, max_length=32)
    return_path: Path = "/billing"


class ChangePlan(Body):
    plan: str = Field(max_length=100)


class OrderModel(BaseModel):
    """Lead the payer to `url`. Credits come when the provider says that it was paid, not when the payer comes back."""

    order_id: str
    kind: Literal["pack", "subscription"]
    item: str
    state: Literal["created", "open", "paid", "expired", "failed"]
    provider: str
    currency: str
    amount_minor: int
    microcredits: int
    url: str
    created_ms: int


class Page(BaseModel):
    url: str


class SubscriptionState(BaseModel):
    """`page`: where the payer must agree first, else empty."""

    subscription_id: str
    plan: str
    status: str
    interval: str
    currency: str
    price_minor: int
    period_start_ms: int
    period_end_ms: int
    cancel_at_period_end: bool
    next_plan: str | None
    provider: str | None
    page: str = ""


class Taken(BaseModel):
    """What became of an event: applied, replayed, ignored, mismatch or waiting."""

    received: bool = True
    outcome: str


class ProviderState(BaseModel):
    name: str
    title: str
    configured: bool
    missing: list[str] = Field(description="settings that are to be set")


class PaymentOptions(BaseModel):
    packs: list[PackModel]
    providers: list[ProviderState]
    currencies: dict[str, list[str]] = Field(description="who takes each currency now, the preferred first")


class PayoutAccountModel(BaseModel):
    """`payouts_enabled`: earnings can be sent."""

    provider: str
    account_id: str
    details_submitted: bool
    payouts_enabled: bool


class RefundModel(BaseModel):
    """Of `microcredits`, what was not there any more is a debt, paid from credits that are bought later."""

    refund_id: str
    payment_id: str
    state: Literal["begun", "done", "failed"]
    amount_minor: int
    microcredits: int
    taken_microcredits: int
    credit_note: str
    reason: str
    created_ms: int


class DisputeModel(BaseModel):
    state: Literal["open", "won", "lost"]
    amount_minor: int
    microcredits: int
    taken_microcredits: int
    created_ms: int


class PaymentModel(BaseModel):
    """`kind`: pack, period or change of a subscription, manual, or unexpected: money that was not as ordered, for which nothing was given."""

    payment_id: str
    owner: str
    kind: Literal["pack", "period", "change", "manual", "unexpected"]
    description: str
    provider: str
    currency: str
    amount_minor: int
    refunded_minor: int
    microcredits: int
    invoice: str
    invoice_url: str
    paid_ms: int
    refunds: list[RefundModel]
    disputes: list[DisputeModel]


class DebtModel(BaseModel):
    """Credits that were to be taken back and had been spent."""

    id: str
    microcredits: int
    settled_microcredits: int
    open_microcredits: int
    state: Literal["open", "settled", "void"]
    reason: str
    created_ms: int


class BillingHistory(BaseModel):
    payments: list[PaymentModel]
    debts: list[DebtModel]
    next_after: str | None


class BillingQuery(BaseModel):
    after: str = Field(default="", max_length=64, description="go on behind the payment of this id")
    limit: int = Field(default=50, ge=1, le=200)


class AdminQuery(BillingQuery):
    owner: str | None = Field(default=None, max_length=128, description="only this person's")
    unexpected: bool = Field(default=False, description="only money that was not as ordered")


class AdminPayments(BaseModel):
    payments: list[PaymentModel]
    owed_microcredits: int = Field(description="open debts of everybody")
    warnings: list[str] = Field(description="packs whose prices go against their sizes")
    next_after: str | None


class RefundBody(Body):
    amount_minor: int | None = Field(default=None, ge=1, le=MAX_MINOR, strict=True, description="by default all that is left")
    reason: Text = Field(default="", max_length=500)
    key: str = Field(min_length=1, max_length=256, description="the same key refunds once, however often it is sent")


class ManualPayment(Body):
    owner: str = Field(min_length=1, max_length=128)
    pack: str = Field(max_length=100)
    currency: Currency
    reference: Text = Field(min_length=1, max_length=200, description="of the bank transfer; entered once")
    note: Text = Field(default="", max_length=200)


class BillingDetails(Body):
    """What stands on invoices from now on."""

    name: Text = Field(default="", max_length=200)
    address: Text = Field(default="", max_length=1000)
    country: Annotated[str, StringConstraints(pattern=r"^([A-Z]{2})?$")] = ""
    tax_id: Text = Field(default="", max_length=64)
