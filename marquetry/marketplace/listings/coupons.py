"""Coupons: creators sell for less to who knows the code. What is taken off is the creator's and the platform's loss in their proportion."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, or_, select, update

from marquetry.marketplace.listings.errors import CouponRefused, InvalidListing, ListingMissing, NameTaken
from marquetry.marketplace.listings.listing import own_listing
from marquetry.marketplace.listings.names import new_id
from marquetry.marketplace.listings.social_tables import listing_coupons as coupons
from marquetry.marketplace.listings.tables import listing_sales as sales

if TYPE_CHECKING:
    from sqlalchemy import Connection

CODE = re.compile(r"[A-Z0-9-]{3,40}")
MAX_COUPONS = 500


def make_coupon(
    connection: Connection, *, owner: str, code: str, percent: int, amount_microcredits: int, now_ms: int, listing_id: str | None = None,
    starts_ms: int | None = None, ends_ms: int | None = None, max_uses: int | None = None, max_per_person: int = 1,
) -> str:  # fmt: skip
    """Either `percent` or an amount is taken off. Raises InvalidListing, NameTaken, ListingMissing, NotTheirs."""
    code = code.strip().upper()
    if CODE.fullmatch(code) is None:
        raise InvalidListing("a code has 3 to 40 letters, digits and -", field="code")
    if (percent > 0) == (amount_microcredits > 0) or not 0 <= percent <= 100 or amount_microcredits < 0:
        raise InvalidListing("a coupon takes off either 1 to 100 percent or an amount", field="percent")
    if (max_uses is not None and max_uses < 1) or max_per_person < 1:
        raise InvalidListing("limits of use are at least 1", field="max_uses")
    if listing_id is not None:
        own_listing(connection, listing_id, owner)
    mine = select(func.count()).select_from(coupons).where(coupons.c.owner == owner)
    if connection.execute(mine).scalar_one() >= MAX_COUPONS:
        raise InvalidListing(f"at most {MAX_COUPONS} coupons can be kept; delete old ones", field="code")
    if connection.execute(select(coupons.c.id).where(coupons.c.owner == owner, coupons.c.code == code)).first() is not None:
        raise NameTaken(f"you have a coupon {code} already")
    id = new_id("cpn")
    row = {"id": id, "owner": owner, "code": code, "listing_id": listing_id, "percent": percent, "amount_microcredits": amount_microcredits}
    limits = {"max_uses": max_uses, "max_per_person": max_per_person, "uses": 0, "created_ms": now_ms}
    connection.execute(insert(coupons).values(**row, **limits, starts_ms=now_ms if starts_ms is None else starts_ms, ends_ms=ends_ms))
    return id


def coupons_of(connection: Connection, owner: str) -> list[Any]:
    """A creator's coupons, newest first."""
    return list(
        connection.execute(select(coupons).where(coupons.c.owner == owner).order_by(coupons.c.created_ms.desc(), coupons.c.id)).all()
    )


def delete_coupon(connection: Connection, *, owner: str, coupon_id: str) -> None:
    """Nobody can use it any more. Raises ListingMissing."""
    if not connection.execute(delete(coupons).where(coupons.c.id == coupon_id, coupons.c.owner == owner)).rowcount:
        raise ListingMissing(f"you have no coupon '{coupon_id[:64]}'")


def find_coupon(connection: Connection, *, code: str, listing: Any, buyer: str, now_ms: int) -> Any:
    """The coupon, if this buyer may use it for this listing now; locked until the transaction ends. Raises CouponRefused."""
    fits = or_(coupons.c.listing_id.is_(None), coupons.c.listing_id == listing.id)
    statement = select(coupons).where(coupons.c.owner == listing.owner, coupons.c.code == code.strip().upper(), fits)
    row = connection.execute(statement.with_for_update()).first()
    if row is None or row.starts_ms > now_ms or (row.ends_ms is not None and row.ends_ms <= now_ms):
        raise CouponRefused("there is no such coupon for this listing, or its time is over")
    if row.max_uses is not None and row.uses >= row.max_uses:
        raise CouponRefused("the coupon is used up")
    used = select(func.count()).select_from(sales).where(sales.c.coupon_id == row.id, sales.c.buyer == buyer)
    if connection.execute(used).scalar_one() >= row.max_per_person:
        raise CouponRefused("you used this coupon as often as one person may")
    return row


def reduced(price_microcredits: int, coupon: Any) -> int:
    """The price with the coupon, rounded up, never below nothing."""
    if coupon.percent:
        return price_microcredits - price_microcredits * int(coupon.percent) // 100
    return max(0, price_microcredits - int(coupon.amount_microcredits))


def use(connection: Connection, coupon_id: str) -> None:
    """Count a use."""
    connection.execute(update(coupons).where(coupons.c.id == coupon_id).values(uses=coupons.c.uses + 1))
