"""Invoices and credit notes: numbered by year without gaps, in the transaction that records the money; what is on them never changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import insert, select, update

from marquetry.marketplace.accounts.upsert import insert_missing
from marquetry.marketplace.payments.errors import UnknownInvoice
from marquetry.marketplace.payments.tables import billing_details, invoice_numbers, invoices

if TYPE_CHECKING:
    from sqlalchemy import Connection

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WHOLE_PERCENT = 100


@dataclass(frozen=True, slots=True)
class Seller:
    """Who invoices."""

    name: str
    address: str = ""
    tax_id: str = ""
    email: str = ""
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Tax:
    """Part of every price. `percent_hundredths`: 1800 is 18 %. Without `currencies` it is on all, without `countries` for all buyers."""

    name: str
    percent_hundredths: int
    currencies: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Buyer:
    """What a buyer wants to have on invoices."""

    name: str = ""
    address: str = ""
    country: str = ""
    tax_id: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class Invoice:
    """A row; `content` is all that is printed."""

    number: str
    year: int
    place: int
    kind: str
    owner: str
    payment_id: str
    currency: str
    total_minor: int
    content: bytes
    issued_ms: int

    @property
    def printed(self) -> dict[str, Any]:
        values: dict[str, Any] = orjson.loads(self.content)
        return values


@dataclass(frozen=True, slots=True)
class Issue:
    """What is to be invoiced. Amounts are with tax; those of credit notes too are above zero."""

    kind: str
    owner: str
    payment_id: str
    description: str
    currency: str
    amount_minor: int
    reference: str = ""


def issue(connection: Connection, wanted: Issue, seller: Seller, taxes: Sequence[Tax], now_ms: int) -> Invoice:
    """The next invoice of the year."""
    year = (EPOCH + timedelta(milliseconds=now_ms)).year
    insert_missing(connection, invoice_numbers, year=year, last=0)
    counted = update(invoice_numbers).where(invoice_numbers.c.year == year).values(last=invoice_numbers.c.last + 1)
    place = int(connection.execute(counted.returning(invoice_numbers.c.last)).scalar_one())
    number = f"{seller.prefix}{year}-{place:06d}"
    buyer = buyer_of(connection, wanted.owner)
    due = [tax for tax in taxes if _is_due(tax, wanted.currency, buyer.country)]
    net, parts = divided(wanted.amount_minor, due)
    content = {
        "number": number,
        "kind": wanted.kind,
        "date": (EPOCH + timedelta(milliseconds=now_ms)).date().isoformat(),
        "seller": asdict(seller),
        "buyer": asdict(buyer),
        "buyer_id": wanted.owner,
        "lines": [{"description": wanted.description, "amount_minor": wanted.amount_minor}],
        "currency": wanted.currency,
        "net_minor": net,
        "taxes": [
            {"name": tax.name, "percent_hundredths": tax.percent_hundredths, "amount_minor": part}
            for tax, part in zip(due, parts, strict=True)
        ],
        "total_minor": wanted.amount_minor,
        "reference": wanted.reference,
    }
    made = Invoice(
        number, year, place, wanted.kind, wanted.owner, wanted.payment_id, wanted.currency, wanted.amount_minor,
        orjson.dumps(content), now_ms,
    )  # fmt: skip
    connection.execute(insert(invoices).values(**{name: getattr(made, name) for name in made.__slots__}))
    return made


def divided(total_minor: int, taxes: Sequence[Tax]) -> tuple[int, list[int]]:
    """The net amount and each tax of a price with tax; they sum to the price. Halves are rounded up."""
    rates = [tax.percent_hundredths for tax in taxes]
    whole = WHOLE_PERCENT * WHOLE_PERCENT
    net = (2 * total_minor * whole + whole + sum(rates)) // (2 * (whole + sum(rates)))
    rest, parts = total_minor - net, list[int]()
    for place, rate in enumerate(rates):
        left = sum(rates[place:])
        part = (2 * rest * rate + left) // (2 * left) if left else 0
        parts.append(part)
        rest -= part
    return net, parts


def get_invoice(connection: Connection, number: str, owner: str | None) -> Invoice:
    """Raises UnknownInvoice, also for another owner's; None looks at everybody's."""
    row = connection.execute(select(invoices).where(invoices.c.number == number)).first()
    if row is None or owner not in (None, row.owner):
        raise UnknownInvoice(f"there is no invoice '{number[:100]}'")
    return Invoice(**row._mapping)


def buyer_of(connection: Connection, owner: str) -> Buyer:
    """What an owner wants to have on invoices; the account's name and address where they said nothing."""
    from marquetry.marketplace.accounts.people import find_person

    person = find_person(connection, owner)
    email = "" if person is None else person.email or ""
    row = connection.execute(select(billing_details).where(billing_details.c.owner == owner)).first()
    if row is None:
        return Buyer(name="" if person is None else person.name, email=email)
    return Buyer(row.name, row.address, row.country, row.tax_id, email)


def set_buyer(connection: Connection, owner: str, buyer: Buyer, now_ms: int) -> None:
    """For invoices from now on."""
    values = {"name": buyer.name, "address": buyer.address, "country": buyer.country, "tax_id": buyer.tax_id, "updated_ms": now_ms}
    insert_missing(connection, billing_details, owner=owner, **values)
    connection.execute(update(billing_details).where(billing_details.c.owner == owner).values(**values))


def _is_due(tax: Tax, currency: str, country: str) -> bool:
    return (not tax.currencies or currency in tax.currencies) and (not tax.countries or country in tax.countries)
