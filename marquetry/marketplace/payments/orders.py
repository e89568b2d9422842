"""Orders: what somebody set out to buy, at the price that it had. The only place from which amounts are taken."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sqlalchemy import insert, or_, select, update

from marquetry.marketplace.payments.errors import OrderKeyReused, UnknownOrder
from marquetry.marketplace.payments.tables import FOREIGN_ID, URL, customers, orders

if TYPE_CHECKING:
    from sqlalchemy import Connection

OrderKind: TypeAlias = Literal["pack", "subscription"]
OrderState: TypeAlias = Literal["created", "open", "paid", "expired", "failed"]
MAX_KEY_CHARACTERS = 256
LIFETIME_MS = 23 * 3_600_000
"""How long a checkout may be paid; providers remember requests for a day."""
columns = orders.c


@dataclass(frozen=True, slots=True)
class Order:
    """A row. `session_id` and `url` are empty until the provider has made its page."""

    id: str
    owner: str
    key: str
    kind: OrderKind
    item: str
    interval: str
    provider: str
    currency: str
    amount_minor: int
    microcredits: int
    state: OrderState
    session_id: str
    url: str
    provider_subscription_id: str
    synced_ms: int
    created_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True)
class NewOrder:
    """What is to be bought. The same `key` of the same owner makes one order; an empty one a new order each time."""

    owner: str
    kind: OrderKind
    item: str
    interval: str
    provider: str
    currency: str
    amount_minor: int
    microcredits: int
    key: str = ""


def place(connection: Connection, new: NewOrder, now_ms: int) -> Order:
    """The order with that key, made if there is none. Raises OrderKeyReused when it was for something else."""
    id = uuid.uuid4().hex
    key = hashlib.sha256(f"{new.owner}\0{new.key}".encode()).hexdigest() if new.key else id
    found = connection.execute(select(orders).where(columns.key == key)).first()
    if found is not None:
        known = of_row(found)
        if (known.kind, known.item, known.interval, known.currency) != (new.kind, new.item, new.interval, new.currency):
            raise OrderKeyReused("this Idempotency-Key was used for another order; take a new key for a new order")
        return known
    order = Order(
        id, new.owner, key, new.kind, new.item, new.interval, new.provider, new.currency, new.amount_minor, new.microcredits,
        "created", "", "", "", 0, now_ms, now_ms,
    )  # fmt: skip
    connection.execute(insert(orders).values(**{name: getattr(order, name) for name in order.__slots__}))
    return order


def opened(connection: Connection, id: str, session_id: str, url: str, subscription_id: str, now_ms: int) -> Order:
    """The provider has made its page. An order that was paid meanwhile stays so."""
    values = {"session_id": session_id[:FOREIGN_ID], "url": url[:URL], "updated_ms": now_ms}
    connection.execute(update(orders).where(columns.id == id).values(**values))
    connection.execute(update(orders).where(columns.id == id, columns.state == "created").values(state="open"))
    if subscription_id:
        link(connection, id, subscription_id, now_ms)
    return get(connection, id)


def moved(connection: Connection, id: str, provider: str, now_ms: int) -> Order:
    """An order that another provider takes, before any has made its page."""
    connection.execute(update(orders).where(columns.id == id, columns.session_id == "").values(provider=provider, updated_ms=now_ms))
    return get(connection, id)


def set_state(connection: Connection, id: str, state: OrderState, now_ms: int) -> None:
    """Paid is for ever."""
    connection.execute(update(orders).where(columns.id == id, columns.state != "paid").values(state=state, updated_ms=now_ms))


def link(connection: Connection, id: str, provider_subscription_id: str, now_ms: int) -> None:
    """The provider's subscription that an order led to; the first holds."""
    where = (columns.id == id, columns.provider_subscription_id == "")
    connection.execute(update(orders).where(*where).values(provider_subscription_id=provider_subscription_id, updated_ms=now_ms))


def synced(connection: Connection, id: str, event_ms: int) -> bool:
    """Whether nothing newer was heard of a subscription before."""
    changed = connection.execute(update(orders).where(columns.id == id, columns.synced_ms <= event_ms).values(synced_ms=event_ms))
    return bool(changed.rowcount)


def get(connection: Connection, id: str, owner: str | None = None) -> Order:
    """Raises UnknownOrder, also for another owner's."""
    row = connection.execute(select(orders).where(columns.id == id)).first()
    if row is None or owner not in (None, row.owner):
        raise UnknownOrder(f"there is no order '{id[:100]}'")
    return of_row(row)


def locked(connection: Connection, provider: str, order_id: str, foreign_id: str = "") -> Order | None:
    """The order that an event is about: by our id, else by the provider's id of its page or subscription. Nobody else changes it meanwhile."""
    where = [columns.id == order_id] if order_id else []
    if foreign_id:
        where += [columns.provider_subscription_id == foreign_id, columns.session_id == foreign_id]
    if not where:
        return None
    statement = select(orders).where(columns.provider == provider, or_(*where)).order_by(columns.created_ms.desc())
    rows = connection.execute(statement.with_for_update()).all()
    ours = [row for row in rows if row.id == order_id]
    return of_row((ours or rows)[0]) if rows else None


def expire_old(connection: Connection, now_ms: int) -> int:
    """Orders that nobody paid in time; gives how many. A payment that comes yet is taken all the same."""
    old = (columns.state.in_(("created", "open")), columns.created_ms < now_ms - 2 * LIFETIME_MS)
    return int(connection.execute(update(orders).where(*old).values(state="expired", updated_ms=now_ms)).rowcount)


def customer_of(connection: Connection, owner: str, provider: str) -> str:
    """How a provider knows an owner; empty when it does not."""
    where = (customers.c.owner == owner, customers.c.provider == provider)
    return connection.execute(select(customers.c.customer_id).where(*where)).scalar() or ""


def keep_customer(connection: Connection, owner: str, provider: str, customer_id: str, now_ms: int) -> None:
    """Remember how a provider knows an owner; the first id holds."""
    if customer_id and not customer_of(connection, owner, provider):
        values = {"owner": owner, "provider": provider, "customer_id": customer_id, "created_ms": now_ms}
        connection.execute(insert(customers).values(**values))


def of_row(row: Any) -> Order:
    return Order(**row._mapping)
