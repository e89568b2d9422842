"""Grants: credits that plans give by the month, and that new people are given once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from marquetry.marketplace import ledger
from marquetry.marketplace.plans.catalogue import Plans
from marquetry.marketplace.plans.errors import InvalidPlan
from marquetry.marketplace.plans.months import after, month_of
from marquetry.marketplace.plans.subscriptions import IN_FORCE, columns
from marquetry.marketplace.plans.tables import subscriptions, trial_grants
from marquetry.marketplace.schema import MICROCREDITS

if TYPE_CHECKING:
    from sqlalchemy import Connection

FILE = Path(__file__).parent / "campaigns.yaml"
CREDIT = 10 * MICROCREDITS
"""Campaigns are written in credits of 0.01 US dollars."""
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Campaign:
    """What new people are given while it runs."""

    id: str
    trial_microcredits: int
    valid_from_ms: int = 0
    valid_to_ms: int | None = None
    expires_days: int | None = None

    def runs(self, now_ms: int) -> bool:
        return self.valid_from_ms <= now_ms and (self.valid_to_ms is None or now_ms < self.valid_to_ms)


@cache
def shipped_campaigns() -> tuple[Campaign, ...]:
    """The campaigns that ship."""
    return read_campaigns(FILE)


def read_campaigns(path: Path) -> tuple[Campaign, ...]:
    """Campaigns from a file; of several that run the first is given. Raises InvalidPlan."""
    import yaml

    from marquetry.marketplace.pricing.book import date_ms

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        return tuple(
            Campaign(
                id=str(raw["id"]),
                trial_microcredits=int(raw["trial"]) * CREDIT,
                valid_from_ms=date_ms(raw.get("from"), path.name) or 0,
                valid_to_ms=date_ms(raw.get("until"), path.name),
                expires_days=None if raw.get("expires_days") is None else int(raw["expires_days"]),
            )
            for raw in data
        )
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise InvalidPlan(f"the campaigns in {path.name} can't be read: {error}") from error


def welcome(connection: Connection, owner: str, now_ms: int, campaigns: tuple[Campaign, ...]) -> int:
    """Give a new person the credits to try things with, once ever. Gives how many micro-credits; 0 where they were given before."""
    if connection.execute(select(trial_grants.c.owner).where(trial_grants.c.owner == owner)).first() is not None:
        return 0
    campaign = next((campaign for campaign in campaigns if campaign.runs(now_ms)), None)
    if campaign is None or campaign.trial_microcredits <= 0:
        return 0
    ledger.credit(
        connection,
        owner=owner,
        amount_microcredits=campaign.trial_microcredits,
        purse="granted",
        kind="bonus",
        key=f"trial {owner}",
        description=f"credits to begin with ({campaign.id})",
        now_ms=now_ms,
        expires_ms=None if campaign.expires_days is None else now_ms + campaign.expires_days * DAY_MS,
    )
    row = {"owner": owner, "campaign": campaign.id, "amount_microcredits": campaign.trial_microcredits, "granted_ms": now_ms}
    connection.execute(insert(trial_grants).values(**row))
    return campaign.trial_microcredits


def grant_due(connection: Connection, plans: Plans, now_ms: int, *, owner: str | None = None, limit: int = 500) -> int:
    """Give what plans grant for every month that has begun; it is there until the month ends. Gives how many grants were made."""
    due = [columns.status.in_(("trialing", "active")), columns.granted_until_ms <= now_ms]
    if owner is not None:
        due.append(columns.owner == owner)
    rows = connection.execute(select(subscriptions).where(*due).order_by(columns.granted_until_ms).limit(limit)).all()
    made = 0
    for row in rows:
        if row.plan not in plans or row.granted_until_ms >= row.period_end_ms:
            continue
        start, end = month_of(row.period_start_ms, now_ms)
        start = max(start, row.granted_until_ms)  # months that nobody saw are over, and so are their grants
        amount = plans[row.plan].grant_microcredits
        if amount and end > now_ms:
            ledger.credit(
                connection,
                owner=row.owner,
                amount_microcredits=amount,
                purse="granted",
                kind="subscription",
                key=f"plan {row.id} {start}",
                description=f"{plans[row.plan].title}: this month's credits",
                now_ms=now_ms,
                expires_ms=end,
            )
            made += 1
        connection.execute(update(subscriptions).where(columns.id == row.id).values(granted_until_ms=end))
    return made


def in_force_count(connection: Connection) -> dict[str, int]:
    """How many subscriptions each plan has."""
    from sqlalchemy import func

    statement = select(columns.plan, func.count()).where(columns.status.in_(IN_FORCE)).group_by(columns.plan)
    return {plan: int(count) for plan, count in connection.execute(statement)}


def next_grant_ms(period_start_ms: int, now_ms: int) -> int:
    """When the next month of a subscription begins."""
    return after(month_of(period_start_ms, now_ms)[0], 1)
