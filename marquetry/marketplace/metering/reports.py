"""Reports: how fast credits are used up, what creators earn by, and which plans lose money. Functions take a connection and only read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import distinct, func, select

from marquetry.marketplace import ledger
from marquetry.marketplace.metering.tables import listing_uses, node_executions, run_quotes
from marquetry.marketplace.plans.catalogue import Plans
from marquetry.marketplace.plans.grants import in_force_count
from marquetry.marketplace.plans.plan import Plan
from marquetry.marketplace.pricing.book import HOUSE, Books
from marquetry.marketplace.pricing.price import QUOTA_OPERATIONS
from marquetry.marketplace.pricing.row import PriceRow
from marquetry.marketplace.schema import MICROCREDITS

if TYPE_CHECKING:
    from sqlalchemy import Connection

DAY_MS = 86_400_000
FEE_PER_MILLE = 29
FEE_MINOR = 30
"""Of a payment: 2.9 % and 30 cents."""

MICROCREDITS_PER_MINOR: Mapping[str, int] = {"USD": 10 * MICROCREDITS, "INR": 10 * MICROCREDITS // 83}
"""What a cent comes to, and a paisa, of which 83 are worth a cent."""


@dataclass(frozen=True, slots=True)
class Projection:
    """At the pace of the last days: what a day uses, and how long what there is will last; None: nothing was used."""

    days: int
    spent_microcredits: int
    per_day_microcredits: int
    spendable_microcredits: int
    lasts_days: int | None
    by_operation: Mapping[str, int]
    is_low: bool


def projection(connection: Connection, owner: str, now_ms: int, *, days: int = 7, low_microcredits: int = 0) -> Projection:
    """An owner's use of credits. The balance is low when it is below `low_microcredits`, or would not last a day."""
    columns = node_executions.c
    mine = (columns.owner == owner, columns.finished_ms > now_ms - days * DAY_MS)
    statement = select(columns.operation, func.sum(columns.amount_microcredits)).where(*mine).group_by(columns.operation)
    by_operation = {operation: int(amount) for operation, amount in connection.execute(statement) if amount}
    spent = sum(by_operation.values())
    first = connection.execute(select(func.min(columns.finished_ms)).where(*mine)).scalar()
    covered = max(1, min(days, -(-(now_ms - first) // DAY_MS))) if first is not None else days
    per_day = -(-spent // covered)
    there = ledger.balance(connection, owner).spendable
    lasts = there // per_day if per_day else None
    return Projection(days, spent, per_day, there, lasts, by_operation, there < low_microcredits or lasts == 0)


@dataclass(frozen=True, slots=True)
class CreatorStatistics:
    """What a creator's listings did in a time: earnings, uses, and how many people used them; in all and by listing."""

    earned_microcredits: int
    uses: int
    audience: int
    listings: tuple[ListingStatistics, ...]


@dataclass(frozen=True, slots=True)
class ListingStatistics:
    """As CreatorStatistics, of one listing."""

    listing: str
    earned_microcredits: int
    uses: int
    audience: int


def creator_statistics(connection: Connection, creator: str, from_ms: int, until_ms: int) -> CreatorStatistics:
    """Of uses from `from_ms` until before `until_ms`."""
    columns = listing_uses.c
    mine = (columns.creator == creator, columns.used_ms >= from_ms, columns.used_ms < until_ms)
    sums = (func.coalesce(func.sum(columns.earned_microcredits), 0), func.count(), func.count(distinct(columns.owner)))
    earned, uses, audience = connection.execute(select(*sums).where(*mine)).one()
    rows = connection.execute(
        select(columns.listing, *sums).where(*mine).group_by(columns.listing).order_by(sums[0].desc(), columns.listing)
    )
    listings = tuple(ListingStatistics(listing, int(own), int(count), int(people)) for listing, own, count, people in rows)
    return CreatorStatistics(int(earned), int(uses), int(audience), listings)


@dataclass(frozen=True, slots=True)
class PlanMargin:
    """What a plan brings in a month, and what it costs when its owner uses all of it on what costs most (`worst_operation`).

    `charged` and `cost` are what really was, in the time of the report. `loses`: using it up costs more than it brings.
    """

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


def margins(connection: Connection, plans: Plans, books: Books, from_ms: int, now_ms: int) -> list[PlanMargin]:
    """All plans in all their currencies."""
    columns = node_executions.c
    sums = (func.sum(columns.amount_microcredits), func.sum(columns.cost_microcredits), func.sum(columns.unbilled_microcredits))
    made = select(columns.plan, *sums).where(columns.finished_ms >= from_ms, columns.cached.is_(False)).group_by(columns.plan)
    real = {plan: (int(charged), int(cost), int(unbilled)) for plan, charged, cost, unbilled in connection.execute(made)}
    counts = in_force_count(connection)
    found: list[PlanMargin] = []
    for plan in plans:
        worst, operation = worst_cost(plan, books, now_ms)
        for currency, prices in (plan.prices or {"USD": {"month": 0}}).items():
            minor = prices.get("month", 0)
            income = minor * MICROCREDITS_PER_MINOR.get(currency, 0)
            fee = fee_of(minor, currency)
            margin = income - fee - worst
            charged, cost, unbilled = real.get(plan.id, (0, 0, 0))
            found.append(
                PlanMargin(
                    plan=plan.id,
                    currency=currency,
                    price_minor=minor,
                    income_microcredits=income,
                    fee_microcredits=fee,
                    worst_cost_microcredits=worst,
                    worst_operation=operation,
                    margin_microcredits=margin,
                    loses=margin < 0 and not plan.contact_sales,
                    subscribers=counts.get(plan.id, 0),
                    charged_microcredits=charged,
                    cost_microcredits=cost,
                    unbilled_microcredits=unbilled,
                )
            )
    return found


def fee_of(price_minor: int, currency: str) -> int:
    """What the payment provider takes of a payment."""
    if not price_minor:
        return 0
    return -(-price_minor * FEE_PER_MILLE // 1000) * MICROCREDITS_PER_MINOR.get(currency, 0) + FEE_MINOR * MICROCREDITS_PER_MINOR["USD"]


def worst_cost(plan: Plan, books: Books, now_ms: int) -> tuple[int, str]:
    """What it costs the operator when all that a plan gives in a month goes into what costs most, and what that is."""
    rows = _rows(plan, books, now_ms)
    images = [(row.cost(1) * plan.entitlements.images, row.operation) for row in _images(plan, rows)]
    quota = max(images, default=(0, ""))
    ratios = [(plan.grant_microcredits * row.cost(1) // row.price(1), row.operation) for row in rows if row.price(1)]
    granted = max(ratios, default=(0, ""))
    total = quota[0] + granted[0]
    return total, max(quota, granted)[1] if total else ""


def _rows(plan: Plan, books: Books, now_ms: int) -> list[PriceRow]:
    """What holds for a plan: the rows of its book, and of `house` what that lacks."""
    operations = {operation for book in books if book.id in (plan.book, HOUSE) for operation in book.rows}
    found = (books.find(plan.book, operation, now_ms) for operation in sorted(operations))
    return [row for row in found if row is not None]


def _images(plan: Plan, rows: Sequence[PriceRow]) -> list[PriceRow]:
    """Those that a plan's number of images can be spent on: of rows for certain families, those of its models."""
    pictures = [row for row in rows if row.operation.startswith(QUOTA_OPERATIONS)]
    named = [row for row in pictures if any(plan.entitlements.permits_model(family) for family in row.families)]
    return named or [row for row in pictures if not row.families]


def charged_between(connection: Connection, from_ms: int, until_ms: int) -> int:
    """What all runs that ended in a time were charged."""
    columns = run_quotes.c
    statement = select(func.coalesce(func.sum(columns.charged_microcredits), 0))
    return int(connection.execute(statement.where(columns.closed_ms >= from_ms, columns.closed_ms < until_ms)).scalar_one())
