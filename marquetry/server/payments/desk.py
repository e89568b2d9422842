"""Desk: the providers that have keys, and the transactions of payments. What is missing is said with the names of the settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from marquetry.marketplace.payments.errors import NotSupported, PaymentsNotConfigured
from marquetry.marketplace.payments.invoices import Seller, Tax
from marquetry.marketplace.payments.provider import PayoutProvider, Provider, ProviderKind, kinds
from marquetry.marketplace.payments.receipts import Rules
from marquetry.marketplace.plans.catalogue import plans_with
from marquetry.server.configuration.payments import provider_keys
from marquetry.server.database.database import Database, one_by_one
from marquetry.server.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from marquetry.marketplace.plans.catalogue import Plans

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def _perform(connection: Connection, action: Callable[[Connection], Any]) -> Any:
    return action(connection)


_performing: Any = one_by_one(_perform)


class Desk:
    """`clock_ms` gives the time since the epoch."""

    def __init__(self, settings: Settings, database: Database, public_url: str, clock_ms: Callable[[], int] | None = None) -> None:
        self.settings = settings
        self.database = database
        self.public_url = public_url.rstrip("/")
        self.clock_ms = clock_ms or (lambda: time.time_ns() // 1_000_000)
        self.kinds: Mapping[str, ProviderKind] = kinds()
        self._providers: dict[str, Provider] = {}

    @cached_property
    def plans(self) -> Plans:
        return plans_with(self.settings.market.plan_files)

    @cached_property
    def rules(self) -> Rules:
        """What the settings say of invoices and of late payments."""
        chosen = self.settings.payments
        seller = chosen.seller
        taxes = [Tax(tax.name, tax.percent_hundredths, tuple(tax.currencies), tuple(tax.countries)) for tax in chosen.taxes]
        known = Seller(seller.name, seller.address, seller.tax_id, seller.email, seller.invoice_prefix)
        return Rules(self.plans, known, taxes, chosen.ladder_days, chosen.ends_days)

    def missing(self, name: str) -> list[str]:
        """Names of the settings without which a provider does not work."""
        keys = self.settings.payments.providers.get(name)
        given = None if keys is None else provider_keys(keys)
        where = f"payments.providers.{name}"
        return [f"{where}.{need}" for need in self.kinds[name].needs if not (given is not None and getattr(given, need))]

    def provider(self, name: str) -> Provider:
        """Raises PaymentsNotConfigured."""
        if name not in self.kinds:
            raise NotSupported(f"there is no payment provider '{name[:40]}'; there are {', '.join(self.kinds)}")
        missing = self.missing(name)
        if missing:
            variables = ", ".join("MARQUETRY_" + setting.upper().replace(".", "__") for setting in missing)
            raise PaymentsNotConfigured(
                f"payments through {self.kinds[name].title} are not configured: set {', '.join(missing)} in marquetry.yaml, or {variables}",
                settings=missing,
                provider=name,
            )
        if name not in self._providers:
            self._providers[name] = self.kinds[name](provider_keys(self.settings.payments.providers[name]))
        return self._providers[name]

    def payer(self) -> PayoutProvider:
        """Who pays creators. Raises PaymentsNotConfigured."""
        made: Any = self.provider("stripe")
        return made  # type: ignore[no-any-return]

    def providers_for(self, currency: str, wanted: str | None = None) -> list[str]:
        """Providers with keys that take a currency, the preferred first. Raises PaymentsNotConfigured, NotSupported."""
        chosen = self.settings.payments
        names = [wanted] if wanted else chosen.order.get(currency, chosen.other_currencies)
        able = [name for name in names if name in self.kinds and not self.missing(name) and self._takes(name, currency)]
        if able:
            return able
        if wanted:
            self.provider(wanted)
            raise NotSupported(f"{self.kinds[wanted].title} does not take {currency}")
        missing = [setting for name in names if name in self.kinds for setting in self.missing(name)]
        raise PaymentsNotConfigured(
            f"nobody takes payments in {currency} here: payments are not configured. Set the keys of {' or '.join(names)}: {', '.join(missing)}",
            settings=missing,
        )

    def configured(self) -> list[str]:
        return [name for name in self.kinds if not self.missing(name)]

    def of_webhook(self, headers: Mapping[str, str]) -> str:
        """Whose webhook it is, by its headers. Raises NotSupported."""
        for name, kind in self.kinds.items():
            if any(header in headers for header in kind.headers):
                return name
        raise NotSupported(f"that webhook is of none of {', '.join(self.kinds)}: the header with its signature is missing")

    def takes(self, currencies: Sequence[str]) -> dict[str, list[str]]:
        """Which providers take each currency now."""
        found = {}
        for currency in currencies:
            names = self.settings.payments.order.get(currency, self.settings.payments.other_currencies)
            found[currency] = [name for name in names if name in self.kinds and not self.missing(name) and self._takes(name, currency)]
        return found

    async def read(
        self, function: Callable[Concatenate[Connection, Parameters], Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        return await self.database.read(function, *args, **kwargs)

    async def write(
        self, function: Callable[Concatenate[Connection, Parameters], Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """Run a function in a transaction; what it raises takes back what it did."""

        def action(connection: Connection) -> Result:
            return function(connection, *args, **kwargs)

        return await self.database.write(_performing, action)

    async def close(self) -> None:
        for provider in self._providers.values():
            await provider.close()

    def _takes(self, name: str, currency: str) -> bool:
        allowed: frozenset[str] | None = getattr(self.kinds[name], "currencies", None)
        return allowed is None or currency in allowed
