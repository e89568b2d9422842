"""Events: what a provider says, in our words. `order_id` is ours, which the provider was told; all other ids are the provider's."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import orjson


@dataclass(frozen=True, slots=True)
class Paid:
    """An order that is paid once was paid."""

    order_id: str
    payment_id: str
    amount_minor: int
    currency: str
    customer_id: str = ""


@dataclass(frozen=True, slots=True)
class Approved:
    """The payer has agreed; the provider waits for us to take the money."""

    order_id: str
    session_id: str


@dataclass(frozen=True, slots=True)
class CheckoutEnded:
    """Nobody paid; `state` is expired or failed."""

    order_id: str
    state: str


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A checkout has made a subscription; its payment comes in an event of its own."""

    order_id: str
    subscription_id: str
    customer_id: str = ""


@dataclass(frozen=True, slots=True)
class PeriodPaid:
    """A period of a subscription was paid; `change`: it was the difference to a dearer plan."""

    subscription_id: str
    order_id: str
    payment_id: str
    amount_minor: int
    currency: str
    customer_id: str = ""
    change: bool = False


@dataclass(frozen=True, slots=True)
class PaymentLate:
    """A period could not be charged. `invoice_id` is what can be tried again, `url` where the payer can see to it."""

    subscription_id: str
    order_id: str
    invoice_id: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class SubscriptionStopped:
    """The provider will charge no more."""

    subscription_id: str
    order_id: str


@dataclass(frozen=True, slots=True)
class SubscriptionSet:
    """Whether a subscription goes on after its period, as somebody chose in the provider's pages."""

    subscription_id: str
    order_id: str
    cancel_at_period_end: bool


@dataclass(frozen=True, slots=True)
class RefundSaid:
    """A refund was made (`done`) or did not work (`failed`). `our_refund_id` where we asked for it. Any of `payment_ids` is the payment."""

    payment_ids: tuple[str, ...]
    refund_id: str
    our_refund_id: str
    amount_minor: int
    currency: str
    state: str


@dataclass(frozen=True, slots=True)
class Disputed:
    """A payer wants the money back from the bank. `state`: open, won or lost."""

    payment_ids: tuple[str, ...]
    dispute_id: str
    amount_minor: int
    currency: str
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AccountSet:
    """How a creator's account for payouts stands."""

    account_id: str
    payouts_enabled: bool
    details_submitted: bool


Happening: TypeAlias = (
    Paid | Approved | CheckoutEnded | Subscribed | PeriodPaid | PaymentLate | SubscriptionStopped | SubscriptionSet | RefundSaid | Disputed | AccountSet
)  # fmt: skip
KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        Paid, Approved, CheckoutEnded, Subscribed, PeriodPaid, PaymentLate, SubscriptionStopped, SubscriptionSet, RefundSaid, Disputed, AccountSet,
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """A verified webhook. Without `happening` it says nothing that concerns us. The same `id` comes again when it is sent again."""

    provider: str
    id: str
    type: str
    event_ms: int
    happening: Happening | None


def packed(happening: Happening | None) -> bytes:
    """A happening as JSON, to be kept."""
    return b"{}" if happening is None else orjson.dumps({"kind": type(happening).__name__, **asdict(happening)})


def unpacked(content: bytes) -> Happening | None:
    """What `packed` made."""
    values = orjson.loads(content)
    if not values:
        return None
    kind = KINDS[values.pop("kind")]
    happening: Happening = kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
    return happening
