"""Stored files, for ComfyUI's routes: what its clients upload counts as theirs, and what was saved here comes back when it is looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web

from marquetry.engine.errors import UnsafePath
from marquetry.engine.folders import ANNOTATION
from marquetry.server.caller import folders_of_caller, job_owner
from marquetry.server.jobs.live import now_ms
from marquetry.server.storage.intake import adopt
from marquetry.server.storage.local_copies import restore
from marquetry.server.storage.room import STORAGE


async def require_room(request: web.Request, size_bytes: int) -> None:
    """Raises StorageFull where the caller's files would have no room for one more of that size."""
    await request.app[STORAGE].storage.require_room(job_owner(request), size_bytes)


async def count_in(request: web.Request, place: Mapping[str, str]) -> None:
    """An upload stands at `place`: if that is in `input`, it is a file of the caller now."""
    if place["type"] == "input":
        path = f"{place['subfolder']}/{place['name']}" if place["subfolder"] else place["name"]
        await adopt(request.app[STORAGE].storage, job_owner(request), "input", path)


async def bring_back(request: web.Request, name: str, kind: str, subfolder: str) -> None:
    """Fetch a result from the store, where it is kept elsewhere and is not on this machine any more."""
    storage = request.app[STORAGE].storage
    if storage.store.path("blobs/") is not None:
        return
    match = ANNOTATION.match(name)
    if match:
        name, kind = match["name"], match["kind"]
    path = f"{subfolder.strip('/')}/{name}" if subfolder.strip("/") else name
    folders = folders_of_caller(request)
    try:
        place = folders.inside(folders.directory(kind), path)
    except UnsafePath:
        return
    if not await asyncio.to_thread(place.is_file):
        await restore(storage, job_owner(request), kind, path, now_ms())
