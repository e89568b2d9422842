"""Reviews: by people who ran or bought a listing, one each; its creator may answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from marquetry.marketplace.listings.errors import InvalidListing, ListingMissing, MayNotReview, NotTheirs
from marquetry.marketplace.listings.listing import find_listing
from marquetry.marketplace.listings.names import new_id
from marquetry.marketplace.listings.social_tables import listing_reviews as reviews
from marquetry.marketplace.listings.tables import listing_sales, listing_versions, listings
from marquetry.marketplace.listings.uses import has_used

if TYPE_CHECKING:
    from sqlalchemy import Connection

MAX_TEXT = 5_000


def review(connection: Connection, *, owner: str, author: str, listing_id: str, stars: int, text: str, now_ms: int) -> str:
    """Write a review, or change one's own. Raises ListingMissing, MayNotReview, InvalidListing."""
    if not 1 <= stars <= 5 or len(text) > MAX_TEXT:
        raise InvalidListing(f"a review has 1 to 5 stars and at most {MAX_TEXT:,} characters", field="stars")
    row = find_listing(connection, listing_id, owner)
    bought = select(listing_sales.c.id).where(listing_sales.c.listing_id == row.id, listing_sales.c.buyer == owner)
    if row.owner == owner:
        raise MayNotReview("creators don't review their own listings")
    if not has_used(connection, row.id, owner) and connection.execute(bought).first() is None:
        raise MayNotReview("only who ran or bought it can review it")
    version = connection.execute(select(listing_versions.c.version).where(listing_versions.c.id == row.newest_id)).scalar() or ""
    mine = select(reviews).where(reviews.c.listing_id == row.id, reviews.c.owner == owner)
    known = connection.execute(mine.with_for_update()).first()
    values = {"stars": stars, "text": text, "version": version, "author": author[:120], "updated_ms": now_ms}
    if known is not None:
        connection.execute(update(reviews).where(reviews.c.id == known.id).values(**values))
        if not known.hidden:
            _count(connection, row.id, 0, stars - known.stars)
        return str(known.id)
    id = new_id("rev")
    connection.execute(insert(reviews).values(id=id, listing_id=row.id, owner=owner, reply="", hidden=False, created_ms=now_ms, **values))
    _count(connection, row.id, 1, stars)
    return id


def reviews_of(connection: Connection, listing_id: str, *, limit: int = 50, offset: int = 0, hidden: bool = False) -> list[Any]:
    """Reviews, newest first; `hidden`: those too that a moderator hid."""
    statement = select(reviews).where(reviews.c.listing_id == listing_id)
    if not hidden:
        statement = statement.where(reviews.c.hidden.is_(False))
    return list(connection.execute(statement.order_by(reviews.c.created_ms.desc(), reviews.c.id).limit(limit).offset(offset)).all())


def delete_review(connection: Connection, *, owner: str, listing_id: str) -> None:
    """Take one's own review back. Raises ListingMissing."""
    mine = (reviews.c.listing_id == listing_id, reviews.c.owner == owner)
    known = connection.execute(select(reviews).where(*mine).with_for_update()).first()
    if known is None:
        raise ListingMissing("you have not reviewed it")
    connection.execute(delete(reviews).where(reviews.c.id == known.id))
    if not known.hidden:
        _count(connection, listing_id, -1, -known.stars)


def reply(connection: Connection, *, owner: str, review_id: str, text: str, now_ms: int) -> None:
    """The creator's answer; an empty one takes it back. Raises ListingMissing, NotTheirs, InvalidListing."""
    row = _find(connection, review_id)
    if find_listing(connection, row.listing_id, owner, moderates=True).owner != owner:
        raise NotTheirs("only the creator of the listing can reply")
    if len(text) > MAX_TEXT:
        raise InvalidListing(f"a reply has at most {MAX_TEXT:,} characters", field="text")
    connection.execute(update(reviews).where(reviews.c.id == review_id).values(reply=text, replied_ms=now_ms if text else None))


def hide_review(connection: Connection, *, review_id: str, hidden: bool) -> None:
    """For moderators: what is hidden counts no more. Raises ListingMissing."""
    row = _find(connection, review_id)
    if row.hidden != hidden:
        connection.execute(update(reviews).where(reviews.c.id == review_id).values(hidden=hidden))
        sign = -1 if hidden else 1
        _count(connection, row.listing_id, sign, sign * row.stars)


def _find(connection: Connection, review_id: str) -> Any:
    row = connection.execute(select(reviews).where(reviews.c.id == review_id).with_for_update()).first()
    if row is None:
        raise ListingMissing(f"there is no review '{review_id[:64]}'")
    return row


def _count(connection: Connection, listing_id: str, count: int, stars: int) -> None:
    values = {"reviews": listings.c.reviews + count, "stars": listings.c.stars + stars}
    connection.execute(update(listings).where(listings.c.id == listing_id).values(**values))
