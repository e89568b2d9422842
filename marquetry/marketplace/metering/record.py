"""Record: charges written down, in the transaction that the caller holds: rows of executions, uses of listings, captures in the ledger.

Who calls has shown that it holds the lease of the run. What was recorded before is left as it is, so a report may come again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import insert, select

from marquetry.marketplace import ledger
from marquetry.marketplace.errors import MarketError
from marquetry.marketplace.ledger.errors import HoldClosed
from marquetry.marketplace.metering.charging import Account, Execution
from marquetry.marketplace.metering.facts import Report
from marquetry.marketplace.metering.tables import listing_uses, node_executions, run_quotes
from marquetry.marketplace.metering.terms import Terms, decode_terms, encode_charge
from marquetry.marketplace.pricing.price import PriceList
from marquetry.marketplace.pricing.royalties import RoyaltySource

if TYPE_CHECKING:
    from sqlalchemy import Connection

logger = logging.getLogger(__name__)
KIND = "node"
OPEN = "open"


class UseListener(Protocol):
    """Hears, in the transaction that charges for it, that a run of the owner's drew upon resources of listings."""

    def __call__(self, connection: Connection, *, run_id: str, resources: Iterable[str], owner: str, now_ms: int) -> object: ...


@dataclass(frozen=True, slots=True)
class Tariff:
    """How this installation prices: its books and splits, where royalties are looked up, and who hears of uses."""

    prices: PriceList
    royalties: RoyaltySource
    note_uses: UseListener | None = None


def record(
    connection: Connection, tariff: Tariff, reports: Sequence[Report], now_ms: int, completed: Iterable[str] = ()
) -> list[Execution]:
    """Charge what finished; runs in `completed` also for what they owe of results that were there before. Runs without terms cost nothing."""
    accounts = _accounts(connection, tariff, [report.run_id for report in reports])
    whole = frozenset(completed)
    found: list[Execution] = []
    for report in reports:
        account = accounts.get(report.run_id)
        if account is None:
            continue
        for fact in report.finished:
            execution = None if fact.node_id in report.spared else account.finished(fact)
            if execution is not None:
                found.append(execution)
        if report.run_id in whole:
            found += account.due(report.spared, now_ms)
    if not found:
        return []
    terms = {run_id: account.terms for run_id, account in accounts.items()}
    charged = _capture(connection, found, terms, now_ms)
    _write(connection, charged, terms)
    if tariff.note_uses is not None:
        for run_id, agreed in terms.items():
            used = {line.resource for execution in charged if execution.run_id == run_id for line in execution.charge.royalties}
            if used:
                tariff.note_uses(connection, run_id=run_id, resources=used, owner=agreed.owner, now_ms=now_ms)
    return charged


def find_terms(connection: Connection, run_ids: Sequence[str]) -> dict[str, Terms]:
    """The terms of the runs that were quoted and are not over."""
    statement = select(run_quotes.c.run_id, run_quotes.c.terms).where(run_quotes.c.run_id.in_(run_ids), run_quotes.c.state == OPEN)
    return {row.run_id: _decoded(bytes(row.terms)) for row in connection.execute(statement)}


@lru_cache(maxsize=256)
def _decoded(data: bytes) -> Terms:
    return decode_terms(data)


def _accounts(connection: Connection, tariff: Tariff, run_ids: Sequence[str]) -> dict[str, Account]:
    terms = find_terms(connection, run_ids)
    if not terms:
        return {}
    book = tariff.royalties(connection)
    accounts = {run_id: Account(agreed, tariff.prices, book) for run_id, agreed in terms.items()}
    uses: dict[tuple[str, str], list[tuple[str, int]]] = {}
    columns = listing_uses.c
    used = select(columns.run_id, columns.node_key, columns.listing, columns.amount_microcredits).where(columns.run_id.in_(list(terms)))
    for row in connection.execute(used):
        uses.setdefault((row.run_id, row.node_key), []).append((row.listing, row.amount_microcredits))
    rows = node_executions.c
    done = select(rows.run_id, rows.node_key, rows.origin_id, rows.amount_microcredits, rows.royalties_microcredits, rows.covered)
    for run_id, key, origin_id, amount, royalties, covered in connection.execute(done.where(rows.run_id.in_(list(terms)))):
        accounts[run_id].note(key, origin_id, amount - royalties, covered, uses.get((run_id, key), []))
    return accounts


def _capture(connection: Connection, executions: Sequence[Execution], terms: dict[str, Terms], now_ms: int) -> list[Execution]:
    """Take the amounts from the holds. What can't be had is written off, so that no run hangs for it."""
    paid = [execution for execution in executions if execution.charge.amount_microcredits]
    outcomes = ledger.capture_each(connection, [_as_capture(execution, terms[execution.run_id]) for execution in paid], now_ms)
    failed: dict[tuple[str, str], MarketError] = {}
    for execution, outcome in zip(paid, outcomes, strict=True):
        if isinstance(outcome, HoldClosed):
            outcome = _again(connection, execution, terms[execution.run_id], now_ms)
        if isinstance(outcome, MarketError):
            logger.error("node %s of run %s could not be charged: %s", execution.node_id, execution.run_id, outcome)
            failed[execution.run_id, execution.node_id] = outcome
    return [_unpaid(execution) if (execution.run_id, execution.node_id) in failed else execution for execution in executions]


def _again(connection: Connection, execution: Execution, terms: Terms, now_ms: int) -> ledger.Captured | MarketError:
    """The hold expired while nobody was there to renew it."""
    try:
        held = ledger.find_hold(connection, execution.run_id)
        left = terms.maximum_microcredits - (0 if held is None else held.captured_microcredits)
        ledger.reopen_hold(connection, run_id=execution.run_id, amount_microcredits=left, now_ms=now_ms)
        return ledger.capture_each(connection, [_as_capture(execution, terms)], now_ms)[0]
    except MarketError as error:
        return error


def _as_capture(execution: Execution, terms: Terms) -> ledger.Capture:
    """What the ledger is told. Its owner reads it, so that of nodes inside a published graph it has no more than what stands there."""
    charge = execution.charge
    shares = tuple(
        ledger.Share(line.creator, line.listing, line.earned_microcredits, line.split)
        for line in charge.royalties
        if line.earned_microcredits
    )
    operation = charge.operations[0].operation if charge.operations else ""
    agreed = terms.nodes.get(execution.origin_id)
    if agreed is not None and agreed.display_id != execution.origin_id:
        outer = terms.nodes.get(agreed.display_id)
        key = f"{agreed.display_id[:64]}/{hashlib.sha256(execution.key.encode()).hexdigest()[:16]}"
        description = "a published graph" if outer is None else outer.type_id
        return ledger.Capture(execution.run_id, key, KIND, charge.amount_microcredits, shares, "graph.use", description)
    return ledger.Capture(execution.run_id, execution.key, KIND, charge.amount_microcredits, shares, operation, execution.type_id)


def _unpaid(execution: Execution) -> Execution:
    charge = execution.charge
    lines = tuple(replace(line, amount_microcredits=0) for line in charge.operations)
    lost = execution.unbilled_microcredits + charge.amount_microcredits
    return replace(execution, charge=replace(charge, operations=lines, royalties=()), unbilled_microcredits=lost)


def _write(connection: Connection, executions: Sequence[Execution], terms: dict[str, Terms]) -> None:
    connection.execute(insert(node_executions), [_row(execution, terms[execution.run_id]) for execution in executions])
    uses = [row for execution in executions for row in _uses(execution, terms[execution.run_id])]
    if uses:
        connection.execute(insert(listing_uses), uses)


def _row(execution: Execution, terms: Terms) -> dict[str, Any]:
    charge = execution.charge
    return {
        "run_id": execution.run_id,
        "node_key": execution.key,
        "node_id": execution.node_id[:1024],
        "origin_id": execution.origin_id[:1024],
        "owner": terms.owner,
        "plan": terms.conditions.plan,
        "operation": charge.operations[0].operation if charge.operations else "",
        "quantity": sum(line.quantity for line in charge.operations),
        "cached": execution.free,
        "covered": charge.covered,
        "amount_microcredits": charge.amount_microcredits,
        "royalties_microcredits": charge.royalties_microcredits,
        "cost_microcredits": charge.cost_microcredits,
        "unbilled_microcredits": execution.unbilled_microcredits,
        "duration_ms": execution.duration_ms,
        "signature": execution.signature,
        "finished_ms": execution.finished_ms,
        "lines": encode_charge(charge),
    }


def _uses(execution: Execution, terms: Terms) -> Iterable[dict[str, Any]]:
    for line in execution.charge.royalties:
        yield {
            "run_id": execution.run_id,
            "node_key": execution.key,
            "listing": line.listing,
            "listing_type": line.listing_type,
            "creator": line.creator,
            "owner": terms.owner,
            "mode": line.mode,
            "amount_microcredits": line.amount_microcredits,
            "earned_microcredits": line.earned_microcredits,
            "split": line.split,
            "used_ms": execution.finished_ms,
        }
