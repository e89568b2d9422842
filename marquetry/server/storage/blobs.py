"""Blobs: bytes by content, kept as long as a file refers to them. Functions take a connection inside a transaction and never commit.

The order that keeps rows and bytes together: a blob is claimed (a row `pending`), its bytes are written, then the file's row is added and
the blob is `stored`, in one transaction. Deleting goes the other way: a blob without files becomes `deleting`, its bytes go, then its row.
What is `deleting` is never used again; whoever claimed it before finds that out when adding the file, and claims anew, under another key.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, exists, select, update

from marquetry.marketplace.accounts.upsert import insert_missing
from marquetry.server.storage.errors import BlobGone
from marquetry.server.storage.tables import blobs, files

PENDING, STORED, DELETING = "pending", "stored", "deleting"
_unreferenced = ~exists().where(files.c.blob_key == blobs.c.key)


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody is about to keep a file with this content."""

    owner: str
    sha256: str
    size_bytes: int
    now_ms: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """The key under which to write the bytes. `known`: the same owner has a file with them, so they need not be written again.

    What others have makes no difference, so that nobody can tell from the time that it takes.
    """

    key: str
    known: bool


def claim_blob(connection: Connection, claim: Claim) -> Claimed:
    """Find or begin the blob of a content."""
    rows = connection.execute(select(blobs.c.key, blobs.c.state).where(blobs.c.sha256 == claim.sha256)).all()
    usable = next((row for row in rows if row.state != DELETING), None)
    if usable is None:
        key = claim.sha256 if not rows else f"{claim.sha256}-{secrets.token_hex(8)}"
        insert_missing(
            connection,
            blobs,
            key=key,
            sha256=claim.sha256,
            size_bytes=claim.size_bytes,
            state=PENDING,
            created_ms=claim.now_ms,
            touched_ms=claim.now_ms,
        )
        return Claimed(key, known=False)
    connection.execute(update(blobs).where(blobs.c.key == usable.key).values(touched_ms=claim.now_ms))
    mine = select(files.c.id).where(files.c.owner == claim.owner, files.c.blob_key == usable.key).limit(1)
    return Claimed(usable.key, known=usable.state == STORED and connection.execute(mine).first() is not None)


def confirm_blob(connection: Connection, key: str, now_ms: int) -> None:
    """The bytes are in the store. Raises BlobGone when somebody deletes them by now."""
    confirmed = update(blobs).where(blobs.c.key == key, blobs.c.state != DELETING).values(state=STORED, touched_ms=now_ms)
    if connection.execute(confirmed).rowcount != 1:
        raise BlobGone("the same bytes were being deleted; send the file again")


def condemn_blobs(connection: Connection, keys: Iterable[str]) -> list[str]:
    """Of these blobs, those that no file refers to any more: they are `deleting` from now on."""
    condemned = (
        update(blobs)
        .where(blobs.c.key.in_(sorted(set(keys))), blobs.c.state == STORED, _unreferenced)
        .values(state=DELETING)
        .returning(blobs.c.key)
    )
    return list(connection.execute(condemned).scalars())


def abandoned(connection: Connection, before_ms: int, limit: int, after: str = "") -> list[tuple[str, int]]:
    """Keys and sizes of blobs that no file refers to, untouched since a time, and of those whose deletion was broken off."""
    found = select(blobs.c.key, blobs.c.size_bytes).where(_abandoned(before_ms), blobs.c.key > after)
    return [(row.key, row.size_bytes) for row in connection.execute(found.order_by(blobs.c.key).limit(limit))]


def condemn_abandoned(connection: Connection, before_ms: int, keys: Iterable[str]) -> list[str]:
    """Of these blobs, those that are still abandoned: they are `deleting` from now on."""
    still = update(blobs).where(blobs.c.key.in_(sorted(keys)), _abandoned(before_ms)).values(state=DELETING).returning(blobs.c.key)
    return list(connection.execute(still).scalars())


def _abandoned(before_ms: int) -> ColumnElement[bool]:
    return (blobs.c.state == DELETING) | (_unreferenced & (blobs.c.touched_ms < before_ms))


def forget_blobs(connection: Connection, keys: Iterable[str]) -> int:
    """The bytes of these are gone: so are their rows."""
    return connection.execute(delete(blobs).where(blobs.c.key.in_(sorted(keys)), blobs.c.state == DELETING)).rowcount


def unknown_keys(connection: Connection, keys: Iterable[str]) -> set[str]:
    """Of these keys of the store, those that no row knows."""
    wanted = set(keys)
    return wanted - set(connection.execute(select(blobs.c.key).where(blobs.c.key.in_(sorted(wanted)))).scalars())


def hashes_of(connection: Connection, keys: Iterable[str]) -> dict[str, str]:
    """The content of each of these blobs, where no other blob has the same."""
    rows = connection.execute(select(blobs.c.key, blobs.c.sha256).where(blobs.c.key.in_(sorted(set(keys))))).all()
    shared = set(
        connection.execute(
            select(blobs.c.sha256).where(blobs.c.sha256.in_([row.sha256 for row in rows]), blobs.c.state != DELETING)
        ).scalars()
    )
    return {row.key: row.sha256 for row in rows if row.sha256 not in shared}
