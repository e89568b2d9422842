"""Creators: who publishes, under a handle that never changes, and who follows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from marquetry.marketplace.listings.errors import CreatorMissing, InvalidListing, NameTaken
from marquetry.marketplace.listings.names import checked_handle
from marquetry.marketplace.listings.social_tables import creator_follows as follows
from marquetry.marketplace.listings.tables import creators

if TYPE_CHECKING:
    from sqlalchemy import Connection


def become_creator(connection: Connection, *, owner: str, handle: str, name: str, about: str, now_ms: int) -> Any:
    """Take a handle, or change name and description of the one that is theirs. Raises InvalidListing, NameTaken."""
    if not 0 < len(name.strip()) <= 120 or len(about) > 2000:
        raise InvalidListing("a creator's name has 1 to 120 characters, the text about them at most 2,000", field="name")
    known = find_creator_of(connection, owner)
    if known is not None:
        if handle not in ("", known.handle):
            raise NameTaken(f"your handle is '{known.handle}' and stays so: others' graphs name it")
        connection.execute(update(creators).where(creators.c.owner == owner).values(name=name.strip(), about=about))
    else:
        if find_creator(connection, checked_handle(handle)) is not None:
            raise NameTaken(f"the handle '{handle}' is taken; choose another")
        row = {"owner": owner, "handle": handle, "name": name.strip(), "about": about}
        connection.execute(insert(creators).values(**row, founding=False, followers=0, created_ms=now_ms))
    return find_creator_of(connection, owner)


def find_creator(connection: Connection, handle: str) -> Any | None:
    """The row of the creator with that handle."""
    return connection.execute(select(creators).where(creators.c.handle == handle)).first()


def find_creator_of(connection: Connection, owner: str) -> Any | None:
    """The row of a person who publishes."""
    return connection.execute(select(creators).where(creators.c.owner == owner)).first()


def require_creator(connection: Connection, owner: str) -> Any:
    """As `find_creator_of`. Raises CreatorMissing."""
    found = find_creator_of(connection, owner)
    if found is None:
        raise CreatorMissing("choose a handle first: PUT /api/v1/marketplace/creator")
    return found


def set_founding(connection: Connection, handle: str, founding: bool) -> None:
    """Give or take the badge of founding creators. Raises CreatorMissing."""
    if not connection.execute(update(creators).where(creators.c.handle == handle).values(founding=founding)).rowcount:
        raise CreatorMissing(f"nobody has the handle '{handle[:40]}'")


def follow(connection: Connection, *, owner: str, handle: str, now_ms: int) -> int:
    """Follow a creator; gives how many do. Raises CreatorMissing."""
    if find_creator(connection, handle) is None:
        raise CreatorMissing(f"nobody has the handle '{handle[:40]}'")
    mine = (follows.c.owner == owner, follows.c.handle == handle)
    if connection.execute(select(follows.c.owner).where(*mine)).first() is None:
        connection.execute(insert(follows).values(owner=owner, handle=handle, created_ms=now_ms))
        connection.execute(update(creators).where(creators.c.handle == handle).values(followers=creators.c.followers + 1))
    return _followers(connection, handle)


def unfollow(connection: Connection, *, owner: str, handle: str) -> int:
    """Follow a creator no more; gives how many still do."""
    gone = connection.execute(delete(follows).where(follows.c.owner == owner, follows.c.handle == handle)).rowcount
    if gone:
        connection.execute(update(creators).where(creators.c.handle == handle).values(followers=creators.c.followers - 1))
    return _followers(connection, handle)


def followers(connection: Connection, handle: str, limit: int = 100_000) -> list[Any]:
    """Who follows a creator and since when, oldest first: the creator may take the list elsewhere."""
    statement = select(follows.c.owner, follows.c.created_ms).where(follows.c.handle == handle)
    return list(connection.execute(statement.order_by(follows.c.created_ms, follows.c.owner).limit(limit)).all())


def followed_by(connection: Connection, owner: str) -> list[str]:
    """The handles that a person follows."""
    return list(
        connection.execute(select(follows.c.handle).where(follows.c.owner == owner).order_by(follows.c.created_ms.desc())).scalars()
    )


def _followers(connection: Connection, handle: str) -> int:
    return int(connection.execute(select(creators.c.followers).where(creators.c.handle == handle)).scalar() or 0)
