"""Versions: written as drafts, reviewed where the operator wants that, published once and never changed after."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import delete, insert, select, update

from marquetry.marketplace.listings.definition import hash_of
from marquetry.marketplace.listings.errors import InvalidListing, ListingMissing, NameTaken, WrongState
from marquetry.marketplace.listings.kinds import kind_of
from marquetry.marketplace.listings.listing import own_listing
from marquetry.marketplace.listings.names import checked_version, new_id, rank
from marquetry.marketplace.listings.tables import listing_files, listing_resources, listing_versions, listings
from marquetry.marketplace.listings.values import NewVersion
from marquetry.marketplace.search.index import index_listing

if TYPE_CHECKING:
    from sqlalchemy import Connection

at = listing_versions.c
MAX_VERSIONS = 1000
MAX_FILES = 100


def create_version(connection: Connection, *, owner: str, listing_id: str, new: NewVersion, now_ms: int) -> str:
    """A draft of a version; gives its id. Raises ListingMissing, NotTheirs, InvalidListing, NameTaken, WrongState."""
    row = own_listing(connection, listing_id, owner)
    if row.state == "taken_down":
        raise WrongState(f"the listing was taken down: {row.state_reason}")
    checked_version(new.version)
    known = versions_of(connection, row.id)
    if any(version.version == new.version for version in known):
        raise NameTaken(f"there is a version {new.version} already; versions never change, so take a new number")
    if len(known) >= MAX_VERSIONS or len(new.files) > MAX_FILES or len(new.changelog) > 20_000:
        raise InvalidListing(f"at most {MAX_VERSIONS:,} versions, {MAX_FILES} files, and 20,000 characters of changelog", field="version")
    kind = kind_of(row.kind)
    content = kind.check(new.content, has_graph=new.definition is not None, folders=[file.kind for file in new.files])
    id = new_id("ver")
    connection.execute(
        insert(listing_versions).values(
            id=id,
            listing_id=row.id,
            version=new.version,
            rank=rank(new.version),
            state="draft",
            changelog=new.changelog,
            content_hash=_content_hash(new),
            definition=new.definition,
            content=orjson.dumps(content).decode(),
            requires=orjson.dumps(list(new.requires)).decode(),
            note="",
            reviewed_by="",
            created_ms=now_ms,
        )
    )
    _keep_files(connection, id, new)
    return id


def submit(connection: Connection, *, owner: str, version_id: str, review: bool, now_ms: int) -> str:
    """Ask for publication; gives the state that follows: `review`, or `published` where nobody has to look at it first.

    Raises ListingMissing, NotTheirs, WrongState.
    """
    row = own_version(connection, version_id, owner)
    if row.state != "draft":
        raise WrongState(f"the version is {row.state}; only a draft can be submitted")
    if review:
        connection.execute(update(listing_versions).where(at.id == version_id).values(state="review", note=""))
        return "review"
    _publish(connection, row, now_ms)
    return "published"


def approve(connection: Connection, *, version_id: str, reviewer: str, now_ms: int) -> None:
    """For moderators: publish what waits for review. Raises ListingMissing, WrongState."""
    row = _in_review(connection, version_id)
    connection.execute(update(listing_versions).where(at.id == version_id).values(reviewed_by=reviewer))
    _publish(connection, row, now_ms)


def reject(connection: Connection, *, version_id: str, reviewer: str, note: str) -> None:
    """For moderators: make it a draft again, with a reason. Raises ListingMissing, WrongState."""
    _in_review(connection, version_id)
    connection.execute(update(listing_versions).where(at.id == version_id).values(state="draft", note=note[:500], reviewed_by=reviewer))


def withdraw_version(connection: Connection, *, owner: str, version_id: str, now_ms: int) -> None:
    """Nobody new gets this version; the newest of the others is followed. Raises ListingMissing, NotTheirs, WrongState."""
    row = own_version(connection, version_id, owner)
    if row.state != "published":
        raise WrongState(f"the version is {row.state}; only a published one can be withdrawn")
    connection.execute(update(listing_versions).where(at.id == version_id).values(state="withdrawn", withdrawn_ms=now_ms))
    newest = _newest(connection, row.listing_id)
    values: dict[str, Any] = {"updated_ms": now_ms}
    if newest is None:
        values["state"] = "withdrawn"
    else:
        values["newest_id"] = newest
    connection.execute(update(listings).where(listings.c.id == row.listing_id).values(**values))
    index_listing(connection, row.listing_id)


def discard(connection: Connection, *, owner: str, version_id: str) -> None:
    """A draft is gone. Raises ListingMissing, NotTheirs, WrongState."""
    row = own_version(connection, version_id, owner)
    if row.state != "draft":
        raise WrongState(f"the version is {row.state}; only a draft can be thrown away")
    connection.execute(delete(listing_files).where(listing_files.c.version_id == version_id))
    connection.execute(delete(listing_versions).where(at.id == version_id))


def own_version(connection: Connection, version_id: str, owner: str) -> Any:
    """The row of a version of the owner's. Raises ListingMissing, NotTheirs."""
    row = connection.execute(select(listing_versions).where(at.id == version_id)).first()
    if row is None:
        raise ListingMissing(f"there is no version '{version_id[:64]}'")
    own_listing(connection, row.listing_id, owner)
    return row


def versions_of(connection: Connection, listing_id: str, *, public: bool = False) -> list[Any]:
    """Without their definitions, newest version first. `public`: those only that everybody may know of."""
    columns = [column for column in listing_versions.c if column.name != "definition"]
    statement = select(*columns).where(at.listing_id == listing_id)
    if public:
        statement = statement.where(at.state.in_(("published", "withdrawn")))
    return list(connection.execute(statement.order_by(at.rank.desc()).limit(MAX_VERSIONS)).all())


def find_version(connection: Connection, listing_id: str, version: str) -> Any:
    """The row of a version with its definition; an empty version is the newest published one. Raises ListingMissing."""
    newest = select(listings.c.newest_id).where(listings.c.id == listing_id).scalar_subquery()
    wanted = at.version == version if version else at.id == newest
    row = connection.execute(select(listing_versions).where(at.listing_id == listing_id, wanted)).first()
    if row is None:
        raise ListingMissing(f"there is no {'version ' + version[:64] if version else 'published version'} of it")
    return row


def files_of(connection: Connection, version_id: str) -> list[Any]:
    """The files of a version, in their order."""
    mine = listing_files.c.version_id == version_id
    return list(connection.execute(select(listing_files).where(mine).order_by(listing_files.c.place)).all())


def waiting_for_review(connection: Connection, limit: int = 100) -> list[Any]:
    """What moderators are to look at, oldest first, with listing, title, creator and kind."""
    columns = [column for column in listing_versions.c if column.name != "definition"]
    statement = select(*columns, listings.c.title, listings.c.handle, listings.c.slug, listings.c.kind)
    joined = statement.join_from(listing_versions, listings, at.listing_id == listings.c.id)
    return list(connection.execute(joined.where(at.state == "review").order_by(at.created_ms).limit(limit)).all())


def _publish(connection: Connection, row: Any, now_ms: int) -> None:
    listing = connection.execute(select(listings).where(listings.c.id == row.listing_id)).one()
    if listing.state == "taken_down":
        raise WrongState(f"the listing was taken down: {listing.state_reason}")
    connection.execute(update(listing_versions).where(at.id == row.id).values(state="published", published_ms=now_ms))
    _claim_resources(connection, row)
    split_type = kind_of(listing.kind).split(orjson.loads(row.content))
    values = {"state": "published", "newest_id": _newest(connection, row.listing_id), "split_type": split_type, "updated_ms": now_ms}
    connection.execute(
        update(listings).where(listings.c.id == row.listing_id).values(**values, published_ms=listing.published_ms or now_ms)
    )
    index_listing(connection, row.listing_id)


def _newest(connection: Connection, listing_id: str) -> str | None:
    """The highest published version; those before a release, as 1.0.0-beta, only where there is nothing else."""
    live = select(at.id, at.version).where(at.listing_id == listing_id, at.state == "published").order_by(at.rank.desc())
    rows = connection.execute(live).all()
    released = [row.id for row in rows if "-" not in row.version]
    return released[0] if released else rows[0].id if rows else None


def _claim_resources(connection: Connection, row: Any) -> None:
    """Uses of this content are uses of the listing from here on."""
    files = files_of(connection, row.id)
    wanted = {
        row.content_hash,
        *(file.sha256 for file in files),
        *(resource for file in files for resource in orjson.loads(file.resources)),
    }
    known = select(listing_resources.c.resource).where(
        listing_resources.c.listing_id == row.listing_id, listing_resources.c.resource.in_(wanted)
    )
    new = wanted - set(connection.execute(known).scalars())
    if new:
        connection.execute(insert(listing_resources), [{"resource": resource, "listing_id": row.listing_id} for resource in sorted(new)])


def _keep_files(connection: Connection, version_id: str, new: NewVersion) -> None:
    rows = [
        {"version_id": version_id, "place": place, "kind": file.kind, "name": file.name, "size_bytes": file.size_bytes, "sha256": file.sha256,
         "resources": orjson.dumps(list(file.resources)).decode()}
        for place, file in enumerate(new.files)
    ]  # fmt: skip
    if rows:
        connection.execute(insert(listing_files), rows)


def _in_review(connection: Connection, version_id: str) -> Any:
    row = connection.execute(select(listing_versions).where(at.id == version_id)).first()
    if row is None:
        raise ListingMissing(f"there is no version '{version_id[:64]}'")
    if row.state != "review":
        raise WrongState(f"the version is {row.state}; it does not wait for review")
    return row


def _content_hash(new: NewVersion) -> str:
    """Of the graph alone, where there is one, so that what uses name is what was published; else of everything."""
    if new.definition is not None:
        return hash_of(new.definition)
    parts = [new.version, dict(new.content), [[file.kind, file.name, file.sha256] for file in new.files]]
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()
