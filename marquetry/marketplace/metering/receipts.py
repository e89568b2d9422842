"""Receipts: what a run was quoted and what it really cost, node by node. Functions take a connection and only read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from marquetry.marketplace.metering.errors import NoReceipt
from marquetry.marketplace.metering.lines import Line, Part, lines
from marquetry.marketplace.metering.tables import node_executions, run_quotes
from marquetry.marketplace.metering.terms import Terms, decode_charge, decode_terms

if TYPE_CHECKING:
    from sqlalchemy import Connection

MARK = "#"  # in the ids of what is inside published graphs, see `engine.sealed`
PUBLISHED = "listing:"


@dataclass(frozen=True, slots=True)
class Receipt:
    """`state` is `open` while the run goes on. `pending` are quoted nodes of which nothing was charged, so far or at all."""

    run_id: str
    plan: str
    state: str
    quoted_ms: int
    closed_ms: int | None
    maximum_microcredits: int
    charged_microcredits: int
    unbilled_microcredits: int
    lines: tuple[Line, ...]
    pending: tuple[str, ...]


def receipt(connection: Connection, run_id: str, owner: str | None) -> Receipt:
    """The receipt of a run; another owner's is not found. Raises NoReceipt."""
    row = connection.execute(select(run_quotes).where(run_quotes.c.run_id == run_id)).first()
    if row is None or (owner is not None and row.owner != owner):
        raise NoReceipt(f"there is no receipt for the job '{run_id[:100]}': it cost nothing, or is another's")
    terms = decode_terms(bytes(row.terms))
    columns = node_executions.c
    statement = select(columns.node_id, columns.origin_id, columns.cached, columns.lines, columns.unbilled_microcredits)
    executions = connection.execute(statement.where(columns.run_id == run_id).order_by(columns.seq)).all()
    parts = [_part(terms, found.node_id, found.origin_id, found.cached, bytes(found.lines)) for found in executions]
    charged = sum(part.charge.amount_microcredits for part in parts)
    seen = {part.display_id for part in parts}
    pending = dict.fromkeys(node.display_id for node in terms.nodes.values() if node.display_id not in seen)
    return Receipt(
        run_id=run_id,
        plan=row.plan,
        state=row.state,
        quoted_ms=row.quoted_ms,
        closed_ms=row.closed_ms,
        maximum_microcredits=row.maximum_microcredits,
        charged_microcredits=charged,
        unbilled_microcredits=sum(found.unbilled_microcredits for found in executions),
        lines=tuple(lines(parts, sealed_in(terms))),
        pending=tuple(pending),
    )


def sealed_in(terms: Terms) -> frozenset[str]:
    """The submitted nodes that stand for published graphs."""
    return frozenset(node.display_id for id, node in terms.nodes.items() if id != node.display_id or node.type_id.startswith(PUBLISHED))


def _part(terms: Terms, node_id: str, origin_id: str, free: bool, charge: bytes) -> Part:
    agreed = terms.nodes.get(node_id) or terms.nodes.get(origin_id)
    read = decode_charge(charge)
    if agreed is None:
        return Part(node_id, origin_id, "", read, 0, free)
    own = node_id in terms.nodes
    maximum = agreed.quoted.amount_microcredits + agreed.unknown_microcredits if own else 0
    return Part(node_id, agreed.display_id, agreed.type_id, read, maximum, free)
