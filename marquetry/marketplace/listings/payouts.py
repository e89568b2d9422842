"""Payouts: once a month what a creator earned leaves, if it is enough. Set aside in the ledger first, settled when the transfer has arrived."""

from __future__ import annotations

import csv
import datetime
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import insert, select, update

from marquetry.marketplace import ledger
from marquetry.marketplace.errors import MarketError
from marquetry.marketplace.ledger.accounts import Kind
from marquetry.marketplace.ledger.tables import accounts
from marquetry.marketplace.listings.errors import ListingMissing, WrongState
from marquetry.marketplace.listings.social_tables import creator_payouts as payouts
from marquetry.marketplace.listings.tables import creators
from marquetry.marketplace.schema import MICROCREDITS

if TYPE_CHECKING:
    from sqlalchemy import Connection

MANUAL = "manual"
CREDITS_PER_CENT = 10  # a credit is 0.001 US dollars


@dataclass(frozen=True, slots=True)
class Payout:
    """What is to be transferred. `id` is the key of the ledger's payout, and what a transfer is known by outside."""

    id: str
    owner: str
    handle: str
    name: str
    period: str
    amount_microcredits: int
    method: str
    state: str
    transfer: str
    created_ms: int

    @property
    def cents(self) -> int:
        """US cents, whole ones: what is less than a cent stays with the creator."""
        return self.amount_microcredits // (MICROCREDITS * CREDITS_PER_CENT)


class PayoutTransfer(Protocol):
    """A way of paying creators outside, such as Stripe Connect. Called outside of transactions; the same payout twice is one transfer."""

    @property
    def method(self) -> str:
        """Its name in settings."""
        ...

    async def transfer(self, payout: Payout) -> str:
        """Send it; gives how the transfer is known there. Raises MarketError when it was refused for good."""
        ...


def period_of(now_ms: int) -> str:
    """The month before, as 2026-01: what a payout now is about."""
    first = datetime.datetime.fromtimestamp(now_ms // 1000, datetime.UTC).replace(day=1)
    return (first - datetime.timedelta(days=1)).strftime("%Y-%m")


def bounds_of(period: str) -> tuple[int, int]:
    """Begin and end of a month."""
    year, month = (int(part) for part in period.split("-"))
    begin = datetime.datetime(year, month, 1, tzinfo=datetime.UTC)
    end = datetime.datetime(year + month // 12, month % 12 + 1, 1, tzinfo=datetime.UTC)
    return int(begin.timestamp()) * 1000, int(end.timestamp()) * 1000


def begin_due(connection: Connection, *, minimum_microcredits: int, method: str, now_ms: int, limit: int = 500) -> list[Payout]:
    """Set aside what is due to each creator for the month before, once; whole cents only, and nothing below the minimum."""
    period = period_of(now_ms)
    cent = MICROCREDITS * CREDITS_PER_CENT
    done = select(payouts.c.owner).where(payouts.c.period == period)
    earned = select(accounts.c.owner).where(accounts.c.kind == Kind.ACCRUED, accounts.c.owner.not_in(done)).distinct()
    rows = connection.execute(select(creators.c.owner).where(creators.c.owner.in_(earned)).order_by(creators.c.owner).limit(limit))
    found = []
    for owner in list(rows.scalars()):
        amount = ledger.earnings(connection, owner).accrued // cent * cent
        if amount < max(minimum_microcredits, cent):
            continue
        found.append(_begin(connection, owner, period, amount, method, now_ms))
    return found


def settle(connection: Connection, *, payout_id: str, transfer: str, now_ms: int) -> Payout:
    """The transfer has arrived. Again changes nothing. Raises ListingMissing, WrongState."""
    return _finish(connection, payout_id, "settled", transfer, "", now_ms)


def cancel(connection: Connection, *, payout_id: str, reason: str, now_ms: int) -> Payout:
    """The transfer won't happen: it is the creator's again, and part of the next month's. Raises ListingMissing, WrongState."""
    return _finish(connection, payout_id, "cancelled", "", reason, now_ms)


def find_payout(connection: Connection, payout_id: str, owner: str | None = None) -> Payout:
    """Raises ListingMissing, also for another's."""
    for payout in _read(connection, payouts.c.id == payout_id):
        if owner in (None, payout.owner):
            return payout
    raise ListingMissing(f"there is no payout '{payout_id[:64]}'")


def payouts_of(connection: Connection, owner: str) -> list[Payout]:
    """A creator's, newest first."""
    return _read(connection, payouts.c.owner == owner)


def open_payouts(connection: Connection, method: str) -> list[Payout]:
    """Those begun that are to be transferred in a way."""
    return _read(connection, (payouts.c.state == "begun") & (payouts.c.method == method))


def as_csv(rows: Sequence[Payout]) -> str:
    """For who transfers by hand: one line for each."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["payout", "creator", "name", "period", "usd_cents", "microcredits"])
    for row in rows:
        writer.writerow([row.id, row.handle, _plain(row.name), row.period, row.cents, row.amount_microcredits])
    return text.getvalue()


def _plain(value: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return "'" + value if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _begin(connection: Connection, owner: str, period: str, amount: int, method: str, now_ms: int) -> Payout:
    id = f"pay_{period}_{hashlib.sha256(owner.encode()).hexdigest()[:24]}"
    ledger.begin_payout(connection, creator=owner, amount_microcredits=amount, key=id, now_ms=now_ms)
    starts_ms, ends_ms = bounds_of(period)
    row = {"id": id, "owner": owner, "period": period, "amount_microcredits": amount, "method": method, "state": "begun"}
    connection.execute(insert(payouts).values(**row, transfer="", reason="", starts_ms=starts_ms, ends_ms=ends_ms, created_ms=now_ms))
    return find_payout(connection, id)


def _finish(connection: Connection, payout_id: str, state: str, transfer: str, reason: str, now_ms: int) -> Payout:
    known = find_payout(connection, payout_id)
    if known.state == state:
        return known
    if known.state != "begun":
        raise WrongState(f"the payout was {known.state} before; it can't be {state}")
    try:
        if state == "settled":
            ledger.settle_payout(connection, key=payout_id, now_ms=now_ms)
        else:
            ledger.cancel_payout(connection, key=payout_id, now_ms=now_ms)
    except MarketError as error:
        raise WrongState(error.message) from error
    values = {"state": state, "transfer": transfer[:200], "reason": reason[:500], "finished_ms": now_ms}
    connection.execute(update(payouts).where(payouts.c.id == payout_id).values(**values))
    return find_payout(connection, payout_id)


def _read(connection: Connection, condition: Any) -> list[Payout]:
    statement = select(payouts, creators.c.handle, creators.c.name).join_from(
        payouts, creators, creators.c.owner == payouts.c.owner, isouter=True
    )
    rows = connection.execute(statement.where(condition).order_by(payouts.c.created_ms.desc(), payouts.c.id).limit(1000))
    return [
        Payout(row.id, row.owner, row.handle or "", row.name or "", row.period, row.amount_microcredits, row.method, row.state, row.transfer,
               row.created_ms)
        for row in rows
    ]  # fmt: skip
