"""Runs: from the promise to the last credit back. Opening sets aside, closing gives back; both within the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import orjson
from sqlalchemy import func, insert, select, update

from marquetry.marketplace import ledger
from marquetry.marketplace.errors import MarketError
from marquetry.marketplace.metering.record import OPEN, find_terms
from marquetry.marketplace.metering.tables import node_executions, run_quotes, usage_events
from marquetry.marketplace.metering.terms import Terms, encode_terms
from marquetry.marketplace.plans.quotas import give_back, take

if TYPE_CHECKING:
    from sqlalchemy import Connection

HOLD_TTL_MS = 300_000
IMAGES = "images"
LOW_BALANCE = "balance.low"


def open_run(connection: Connection, terms: Terms, limits: dict[str, int | None], now_ms: int, key_id: str | None = None) -> None:
    """Set aside what a run may cost, also of what its API key may spend, and what it may use of monthly quotas up to `limits`. What fails leaves nothing behind.

    Raises InsufficientCredits with exact numbers, KeySpendLimit, and QuotaTaken.
    """
    taken: list[tuple[str, int]] = []
    try:
        for quota, count in terms.reserved.items():
            take(connection, terms.owner, quota, terms.period_start_ms, count, limits.get(quota))
            taken.append((quota, count))
        if terms.maximum_microcredits:
            ledger.place_hold(
                connection,
                owner=terms.owner,
                run_id=terms.run_id,
                amount_microcredits=terms.maximum_microcredits,
                now_ms=now_ms,
                ttl_ms=HOLD_TTL_MS,
                key_id=key_id,
            )
    except MarketError:
        for quota, count in taken:
            give_back(connection, terms.owner, quota, terms.period_start_ms, count)
        raise
    connection.execute(
        insert(run_quotes).values(
            run_id=terms.run_id,
            owner=terms.owner,
            plan=terms.conditions.plan,
            maximum_microcredits=terms.maximum_microcredits,
            quoted_ms=terms.conditions.priced_ms,
            closed_ms=None,
            state=OPEN,
            charged_microcredits=0,
            terms=encode_terms(terms),
        )
    )


def close_runs(connection: Connection, ends: Sequence[tuple[str, str]], now_ms: int, low_microcredits: int = 0) -> None:
    """Runs ended, each in a state: give back what is left of holds and quotas, and note what each cost. Again does nothing.

    Whose credits fall below `low_microcredits` by it has that noted too, once for each time that they fall.
    """
    terms = find_terms(connection, [run_id for run_id, _ in ends])
    columns = node_executions.c
    for run_id, state in ends:
        agreed = terms.pop(run_id, None)
        if agreed is None:
            continue
        sums = select(func.coalesce(func.sum(columns.amount_microcredits), 0), func.coalesce(func.sum(columns.covered), 0))
        charged, covered = connection.execute(sums.where(columns.run_id == run_id)).one()
        ledger.release(connection, run_id, now_ms)
        _return_quotas(connection, agreed, int(covered), state)
        closed = {"state": state, "closed_ms": now_ms, "charged_microcredits": int(charged)}
        connection.execute(update(run_quotes).where(run_quotes.c.run_id == run_id).values(**closed))
        _note_low(connection, agreed.owner, int(charged), low_microcredits, now_ms)
        details = orjson.dumps({"quoted_microcredits": agreed.maximum_microcredits, "plan": agreed.conditions.plan})
        connection.execute(
            insert(usage_events).values(
                owner=agreed.owner,
                event_type=f"generation.{state}",
                run_id=run_id,
                listing=agreed.listing,
                microcredits=int(charged),
                details=details,
                created_ms=now_ms,
            )
        )


def keep_holds(connection: Connection, run_ids: Iterable[str], now_ms: int) -> None:
    """Runs are alive: their holds go on."""
    ledger.renew_holds(connection, run_ids, now_ms, HOLD_TTL_MS)


def resume_run(connection: Connection, run_id: str, now_ms: int) -> MarketError | None:
    """Have the hold of a run that is about to go on; gives why it can't be had, after it expired while nobody renewed it."""
    agreed = find_terms(connection, [run_id]).get(run_id)
    if agreed is None or not agreed.maximum_microcredits:
        return None
    held = ledger.find_hold(connection, run_id)
    if held is None or held.state == OPEN:
        return None
    left = agreed.maximum_microcredits - held.captured_microcredits
    try:
        ledger.reopen_hold(connection, run_id=run_id, amount_microcredits=left, now_ms=now_ms)
    except MarketError as error:
        return error
    return None


def _note_low(connection: Connection, owner: str, charged: int, low: int, now_ms: int) -> None:
    if not low or not charged:
        return
    found = ledger.balance(connection, owner)
    left = found.spendable + found.held
    if left < low <= left + charged:
        row = {"owner": owner, "event_type": LOW_BALANCE, "run_id": None, "listing": None, "microcredits": left, "details": None}
        connection.execute(insert(usage_events).values(**row, created_ms=now_ms))


def _return_quotas(connection: Connection, terms: Terms, covered: int, state: str) -> None:
    for quota, count in terms.reserved.items():
        back = count - covered if quota == IMAGES else count if state != "completed" else 0
        if back > 0:
            give_back(connection, terms.owner, quota, terms.period_start_ms, back)
