"""Catalogue: what the server knows of published graphs: their definitions for jobs, and their descriptions for editors."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from marquetry.engine.registry import describe
from marquetry.engine.sealed import PREFIX
from marquetry.marketplace.listings.errors import PrivateWeights
from marquetry.server.http.answer import encode
from marquetry.server.jobs.live import now_ms
from marquetry.server.object_info import Description, ObjectInfo
from marquetry.server.people import NOBODY
from marquetry.server.published.definitions import described, pack
from marquetry.server.published.private import Use, place_of, private_path

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from marquetry.server.database.database import Database

KEPT_S = 5.0  # how old the list of an editor may be
MAX_KEPT = 256
MAX_NAMES = 100


class Catalogue:
    """`enforce`: what has to be bought first is refused to who has not; `most` bounds the descriptions beside the caller's own."""

    def __init__(self, database: Database, object_info: ObjectInfo, *, enforce: bool, most: int) -> None:
        self._database = database
        self._object_info = object_info
        self._enforce = enforce
        self._most = most
        self._lists: dict[str, tuple[float, str, dict[str, bytes]]] = {}
        self._whole: dict[tuple[str, str], Description] = {}

    async def find(self, type_ids: Sequence[str], owner: str) -> bytes:
        """The published graphs that these node types stand for, for a job of this owner. Raises NotEntitled."""
        return await self._closure(list(type_ids)[:MAX_NAMES], owner, enforce=self._enforce)

    async def permit(self, uses: Sequence[Use], owner: str) -> frozenset[tuple[str, str]]:
        """The private weights that a job of this owner names. Raises PrivateWeights and NotEntitled where it may not."""
        return await self._database.read(_permitted, uses, owner or NOBODY, now_ms(), self._enforce)

    async def interface(self, type_id: str, owner: str) -> Mapping[str, Any] | None:
        """A node type as `object_info` describes it, published graphs included; None: there is none that the owner may know of."""
        entry = await self.entry(type_id, owner)
        found: Mapping[str, Any] | None = None if entry is None else orjson.loads(entry)
        return found

    async def entry(self, type_id: str, owner: str) -> bytes | None:
        """As `interface`, as JSON."""
        if not type_id.startswith(PREFIX):
            return (await self._object_info.seen_by(owner)).entries.get(type_id)
        data = await self._closure([type_id], owner, enforce=False)
        return self._described(data, owner).get(type_id)

    async def seen_by(self, owner: str, person: str) -> Description:
        """Everything that the editor of a person lists: all node types, and the published graphs that are theirs or wanted most.

        `owner` is whose files are meant, `person` whose listings.
        """
        plain = await self._object_info.seen_by(owner)
        stamp, entries = await self._listed(owner, person)
        if not entries:
            return plain
        key = (plain.tag, stamp)
        known = self._whole.get(key)
        if known is None:
            known = await asyncio.to_thread(_joined, plain, entries)
            if len(self._whole) >= 8:
                self._whole.clear()
            self._whole[key] = known
        return known

    def changed(self) -> None:
        """Listings are others than before."""
        self._lists.clear()

    async def _listed(self, owner: str, person: str) -> tuple[str, dict[str, bytes]]:
        now_s = time.monotonic()
        known = self._lists.get(person)
        if known is not None and now_s - known[0] < KEPT_S:
            return known[1], known[2]
        names = await self._database.read(_names, person, self._most, now_ms())
        entries: dict[str, bytes] = {}
        if names:
            entries = self._described(await self._closure(names, person, enforce=False), owner)
            entries = {name: entry for name, entry in entries.items() if name in names}
        stamp = hashlib.sha256(b"".join(entries.values())).hexdigest()
        if len(self._lists) >= MAX_KEPT:
            self._lists.clear()
        self._lists[person] = now_s, stamp, entries
        return stamp, entries

    async def _closure(self, type_ids: list[str], owner: str, *, enforce: bool) -> bytes:
        return await self._database.read(_packed, type_ids, owner or NOBODY, now_ms(), enforce)

    def _described(self, data: bytes, owner: str) -> dict[str, bytes]:
        folders = self._object_info.folders.of(owner)
        types = described(data, self._object_info.registry)
        return {type_id: encode(describe(node_type, folders)) for type_id, node_type in types.items()}


CATALOGUE = web.AppKey("catalogue", Catalogue)


def _packed(connection: Connection, type_ids: list[str], owner: str, now: int, enforce: bool) -> bytes:
    from marquetry.marketplace.listings.closure import closure

    return pack(closure(connection, type_ids, owner, now, enforce=enforce))


def _names(connection: Connection, person: str, most: int, now: int) -> list[str]:
    from marquetry.marketplace.listings.shelf import names_for

    return names_for(connection, person, most, now)


def _joined(plain: Description, entries: Mapping[str, bytes]) -> Description:
    more = b",".join(encode(id) + b":" + entry for id, entry in entries.items())
    text = plain.text[:-1] + b"," + more + b"}"
    return Description(text, gzip.compress(text, 5, mtime=0), hashlib.sha256(text).hexdigest()[:32], {**plain.entries, **entries})


def _permitted(connection: Connection, uses: Sequence[Use], owner: str, now: int, enforce: bool) -> frozenset[tuple[str, str]]:
    from marquetry.marketplace.listings.private_weights import permit

    for use in uses:
        place = private_path(use.name)
        if not use.kind or place is None:
            raise PrivateWeights("private weights are named in inputs for their files, and nowhere else in a graph", node_id=use.node_id)
        if place != place_of(owner) or use.inside:
            permit(connection, use.kind, use.name, owner=owner, inside=use.inside, now_ms=now, enforce=enforce)
    return frozenset((use.kind, use.name) for use in uses)
