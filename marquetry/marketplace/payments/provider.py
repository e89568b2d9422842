"""Provider: what every payment provider can be asked. One file for each in `providers/`, found by scanning.

Whatever creates something at the provider may be asked again with the same id and then finds what was made the first time.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from marquetry.marketplace.payments.errors import NotSupported
from marquetry.marketplace.payments.events import Happening, ProviderEvent


@dataclass(frozen=True)
class ProviderKeys:
    """How a provider knows us. `webhook_secrets` may be two while one takes the place of the other."""

    key_id: str = ""
    secret_key: str = ""
    webhook_secrets: tuple[str, ...] = ()
    api_address: str = ""
    timeout_s: int = 20


@dataclass(frozen=True, slots=True)
class Checkout:
    """What the payer is to pay. `session_id` is known once it was made."""

    order_id: str
    title: str
    currency: str
    amount_minor: int
    interval: str  # month or year of a subscription; empty: paid once
    success_url: str
    cancel_url: str
    item: str = ""
    email: str = ""
    customer_id: str = ""
    created_ms: int = 0


@dataclass(frozen=True, slots=True)
class Session:
    """Where the payer goes."""

    id: str
    url: str
    subscription_id: str = ""


@dataclass(frozen=True, slots=True)
class RefundAnswer:
    """`state`: done, failed, or begun where the provider will say later."""

    id: str
    state: str


@dataclass(frozen=True, slots=True)
class TransferAnswer:
    """A transfer to a creator that has been made."""

    id: str


class Provider(Protocol):
    """Every method raises ProviderFailed; `unknown` says that it may have worked."""

    name: str
    title: str
    currencies: frozenset[str] | None
    """None: all."""

    async def customer(self, owner: str, email: str) -> str:
        """The id of a customer; empty where the provider keeps none before they pay."""
        ...

    async def checkout(self, checkout: Checkout) -> Session: ...

    async def capture(self, approved: Happening) -> Happening | None:
        """Take the money of a payment that was approved."""
        ...

    async def portal(self, customer_id: str, return_url: str) -> str:
        """Where a customer sees to cards and subscriptions. Raises NotSupported."""
        ...

    async def change_subscription(self, id: str, checkout: Checkout, *, now: bool) -> str:
        """Take another price, at once (the difference is charged) or from the next period on. Gives a page that the payer must agree on, or ''."""
        ...

    async def cancel_subscription(self, id: str, *, at_period_end: bool) -> None:
        """Also of one that is over: then nothing happens."""
        ...

    async def resume_subscription(self, id: str) -> None: ...

    async def retry(self, invoice_id: str) -> None:
        """Charge again what could not be charged."""
        ...

    async def refund(self, payment_id: str, refund_id: str, amount_minor: int, currency: str, period: bool) -> RefundAnswer:
        """Give back a payment or a part of it; `period`: it was one of a subscription."""
        ...

    async def event(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> ProviderEvent:
        """A webhook, verified and understood. Raises InvalidSignature."""
        ...

    async def close(self) -> None: ...


class PayoutProvider(Provider, Protocol):
    """A provider that pays creators too."""

    async def payout_account(self, owner: str, email: str, country: str) -> str: ...

    async def onboarding(self, account_id: str, return_url: str, refresh_url: str) -> str: ...

    async def find_transfer(self, payout_id: str) -> TransferAnswer | None:
        """The transfer of a payout, if it was made."""
        ...

    async def transfer(self, payout_id: str, account_id: str, amount_minor: int, currency: str) -> TransferAnswer: ...


class Bare:
    """What providers do that lack something."""

    name = ""
    title = ""
    currencies: frozenset[str] | None = None

    async def customer(self, owner: str, email: str) -> str:
        return ""

    async def capture(self, approved: Happening) -> Happening | None:
        return None

    async def portal(self, customer_id: str, return_url: str) -> str:
        raise NotSupported(f"{self.title} has no page on which cards are changed; cancel and subscribe anew")

    async def resume_subscription(self, id: str) -> None:
        raise NotSupported(f"with {self.title} a cancellation can't be taken back; subscribe anew when the period has ended")

    async def retry(self, invoice_id: str) -> None:
        """It tries again by itself."""


class ProviderKind(Protocol):
    """A class in a module of `providers/`, under the name PROVIDER."""

    name: str
    title: str
    needs: tuple[str, ...]
    """Names of the keys without which nothing works."""
    address: str
    headers: tuple[str, ...]
    """By which header a webhook of this provider is known."""

    def __call__(self, keys: ProviderKeys) -> Provider: ...

    def is_live(self, keys: ProviderKeys) -> bool:
        """Whether these keys move real money."""
        ...


def kinds() -> dict[str, ProviderKind]:
    """Every provider that there is, by name."""
    from marquetry.marketplace.payments import providers

    found = {}
    for entry in sorted(pkgutil.iter_modules(providers.__path__), key=lambda module: module.name):
        kind = getattr(importlib.import_module(f"{providers.__name__}.{entry.name}"), "PROVIDER", None)
        if kind is not None:
            found[kind.name] = kind
    return found
