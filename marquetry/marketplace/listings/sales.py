"""Sales: somebody pays once, or for a period, and may use a listing from then on without royalties. Money moves in the ledger, once per key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from marquetry.marketplace import ledger
from marquetry.marketplace.ledger.splits import RULES
from marquetry.marketplace.listings import coupons
from marquetry.marketplace.listings.entitlements import entitle, is_entitled, subscribed_until
from marquetry.marketplace.listings.errors import AlreadyOwned, InvalidListing, WrongState
from marquetry.marketplace.listings.listing import find_listing, own_listing
from marquetry.marketplace.listings.names import new_id
from marquetry.marketplace.listings.tables import listing_sales as sales
from marquetry.marketplace.listings.tables import listings
from marquetry.marketplace.listings.trending import SALE
from marquetry.marketplace.listings.uses import DAY_MS, add_to_day, want

if TYPE_CHECKING:
    from sqlalchemy import Connection

SALES = {"one_time": "listing.sale", "subscription": "listing.subscription"}


@dataclass(frozen=True, slots=True)
class Sale:
    """What was bought. `replayed`: it was bought with the same key before, and nothing was paid again."""

    id: str
    listing: str
    mode: str
    list_price_microcredits: int
    price_microcredits: int
    ends_ms: int | None
    replayed: bool = False


def purchase(
    connection: Connection,
    *,
    buyer: str,
    listing_id: str,
    key: str,
    now_ms: int,
    coupon: str = "",
    key_id: str | None = None,
    rules: Iterable[ledger.SplitRule] = RULES,
) -> Sale:
    """Buy a listing, or subscribe for one period more, within what the API key `key_id` may spend. The same `key` again changes nothing.

    Raises ListingMissing, WrongState, AlreadyOwned, CouponRefused, InsufficientCredits, KeySpendLimit.
    """
    if not 0 < len(key) <= 128:
        raise InvalidListing("a key of a purchase has 1 to 128 characters", field="key")
    known = connection.execute(select(sales).where(sales.c.buyer == buyer, sales.c.key == key)).first()
    if known is not None:
        return _replayed(connection, known, listing_id)
    row = find_listing(connection, listing_id, "")
    _require_sellable(connection, row, buyer, now_ms)
    used = coupons.find_coupon(connection, code=coupon, listing=row, buyer=buyer, now_ms=now_ms) if coupon else None
    price = row.price_microcredits if used is None else coupons.reduced(row.price_microcredits, used)
    parts = ledger.divide([ledger.Royalty(row.owner, row.id, row.split_type, price)], at_ms=now_ms, rules=rules)
    share = sum(part.amount_microcredits for part in parts)
    id = new_id("sale")
    if price:
        ledger.place_hold(connection, owner=buyer, run_id=id, amount_microcredits=price, now_ms=now_ms, key_id=key_id)
        paid = ledger.Capture(id, row.id, "sale", price, parts, SALES[row.pricing], f"{row.handle}/{row.slug}"[:200])
        ledger.capture(connection, [paid], now_ms)
        ledger.release(connection, id, now_ms)
    ends_ms = None
    if row.pricing == "subscription":
        ends_ms = subscribed_until(connection, row.id, buyer, now_ms) + row.period_days * DAY_MS
    _keep(connection, row, id, buyer, key, price, share, None if used is None else used.id, now_ms)
    entitle(connection, row.id, buyer, row.pricing, now_ms, ends_ms=ends_ms, sale_id=id)
    return Sale(id, row.id, row.pricing, row.price_microcredits, price, ends_ms)


def give(connection: Connection, *, owner: str, listing_id: str, to: str, now_ms: int) -> None:
    """A creator lets somebody use a listing for nothing. Raises ListingMissing, NotTheirs."""
    row = own_listing(connection, listing_id, owner)
    if not is_entitled(connection, row.id, to, now_ms):
        entitle(connection, row.id, to, "given", now_ms)


def purchases_of(connection: Connection, buyer: str, limit: int = 200) -> Sequence[Any]:
    """What somebody bought, newest first, with title and name."""
    statement = select(sales, listings.c.title, listings.c.handle, listings.c.slug).join_from(
        sales, listings, sales.c.listing_id == listings.c.id
    )
    return connection.execute(statement.where(sales.c.buyer == buyer).order_by(sales.c.time_ms.desc(), sales.c.id).limit(limit)).all()


def _require_sellable(connection: Connection, row: Any, buyer: str, now_ms: int) -> None:
    if row.state != "published":
        raise WrongState("the listing is not sold any more")
    if row.pricing not in SALES:
        how = "free" if row.pricing == "free" else "paid for with each use"
        raise WrongState(f"the listing is {how}; there is nothing to buy")
    if row.owner == buyer:
        raise AlreadyOwned("the listing is your own")
    if row.pricing == "one_time" and is_entitled(connection, row.id, buyer, now_ms):
        raise AlreadyOwned("you bought this listing before")


def _keep(
    connection: Connection, row: Any, id: str, buyer: str, key: str, price: int, share: int, coupon_id: str | None, now_ms: int
) -> None:
    values = {"id": id, "listing_id": row.id, "buyer": buyer, "mode": row.pricing, "key": key, "time_ms": now_ms, "coupon_id": coupon_id}
    amounts = {"list_price_microcredits": row.price_microcredits, "price_microcredits": price, "share_microcredits": share}
    connection.execute(insert(sales).values(**values, **amounts))
    if coupon_id is not None:
        coupons.use(connection, coupon_id)
    want(connection, row.id, SALE, now_ms, sales=listings.c.sales + 1)
    add_to_day(connection, row.id, now_ms, sales=1, earned_microcredits=share)


def _replayed(connection: Connection, known: Any, listing_id: str) -> Sale:
    row = find_listing(connection, listing_id, "", moderates=True)
    if row.id != known.listing_id:
        raise InvalidListing("the key was used for another purchase; take a new one", field="key")
    return Sale(known.id, known.listing_id, known.mode, known.list_price_microcredits, known.price_microcredits, None, replayed=True)
