"""Publishing: what a creator sends becomes a version: graphs with their interface read and tried, weights found by name and known by content."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from marquetry.engine.file_identity import FileIdentity
from marquetry.engine.folders import PRIVATE_WEIGHTS
from marquetry.engine.sealed import PREFIX
from marquetry.marketplace.listings.closure import closure, types_inside
from marquetry.marketplace.listings.definition import GraphSpec, define
from marquetry.marketplace.listings.errors import InvalidListing, ListingMissing
from marquetry.marketplace.listings.names import parse
from marquetry.marketplace.listings.needs import needs_of
from marquetry.marketplace.listings.values import Need, StoredFile
from marquetry.server.jobs.live import now_ms
from marquetry.server.keys import CHECK, DATABASE, FOLDERS, OBJECT_INFO
from marquetry.server.published.catalogue import CATALOGUE
from marquetry.server.published.private import place_of, private_path

if TYPE_CHECKING:
    from sqlalchemy import Connection

SHOWS_ANY = "PreviewAny"  # an output node that takes whatever there is
OUTPUT = "output of the published graph"


async def defined(request: web.Request, spec: GraphSpec, owner: str, files_owner: str) -> bytes:
    """The definition of a graph. Raises InvalidListing, with all problems where the graph can't run here, GraphError, NotEntitled."""
    types = {raw.get("class_type", "") for raw in spec.graph.values() if isinstance(raw, dict)}
    nested = {type_id for type_id in types if type_id.startswith(PREFIX)}
    pins = await request.app[DATABASE].read(_pins, sorted(nested), owner)
    catalogue = request.app[CATALOGUE]
    plain = (await request.app[OBJECT_INFO].seen_by(files_owner)).entries
    known: dict[str, Mapping[str, Any]] = {id: orjson.loads(plain[id]) for id in types if id in plain}
    for pinned in set(pins.values()):
        found = await catalogue.interface(pinned, owner)
        if found is not None:
            known[pinned] = found

    def pin(type_id: str) -> str:
        if not type_id.startswith(PREFIX):
            return type_id
        if type_id not in pins:
            raise ListingMissing(f"there is no published graph '{type_id[:200]}', or it is not yours to use")
        return pins[type_id]

    definition = define(spec, known.get, pin)
    await _try(request, orjson.loads(definition), owner)
    return definition


async def _try(request: web.Request, definition: Mapping[str, Any], owner: str) -> None:
    """Let the graph be checked as it stands; inputs that the buyer gives may be missing. Raises InvalidListing."""
    given = {(declared["node"], declared["input"]) for declared in definition["inputs"]}
    ends = {
        f"{OUTPUT} {number}": {"class_type": SHOWS_ANY, "inputs": {"source": [end["node"], end["slot"]]}}
        for number, end in enumerate(definition["outputs"])
    }
    checked = await request.app[CHECK].check({**definition["graph"], **ends}, [*definition["shows"], *ends], owner)
    faults = [problem for problem in checked.problems if (problem.node_id, problem.input_name) not in given]
    if faults:
        problems = [
            {
                "type": fault.type,
                "message": fault.message,
                "details": fault.details,
                "node_id": fault.node_id,
                "input_name": fault.input_name,
            }
            for fault in faults[:100]
        ]
        raise InvalidListing(f"the graph has problems: {faults[0].message} {faults[0].details}".strip(), field="graph", problems=problems)


async def stored(request: web.Request, files: Sequence[tuple[str, str]], owner: str) -> list[StoredFile]:
    """Files of the creator's private place by kind and name, hashed. Raises InvalidListing, ModelNotFound."""
    return await asyncio.to_thread(_stored, request.app[FOLDERS], list(files), owner)


def _stored(folders: Any, files: list[tuple[str, str]], owner: str) -> list[StoredFile]:
    from marquetry.engine.models.store import ModelStore

    store = ModelStore(folders)
    identity = FileIdentity(folders)
    found = []
    for kind, name in files:
        mine = private_path(name) == place_of(owner)
        if PRIVATE_WEIGHTS in name and not mine:
            raise InvalidListing("these weights are somebody else's", field="files")
        if not mine:
            raise InvalidListing(
                f"'{name}' is open to everybody here; upload it with POST /api/v1/marketplace/weights first, which keeps it apart",
                field="files",
            )
        path = store.path(kind, name)
        digest = store.hashes.sha256(path)
        _nobody_elses(store, kind, name, digest)
        found.append(StoredFile(kind, name, path.stat().st_size, digest, (identity(kind, name).hex(),)))
    return found


def _nobody_elses(store: Any, kind: str, name: str, digest: str) -> None:
    """Raise InvalidListing for weights that are here for everybody: nobody earns by others' use of those."""
    for other in store.names(kind):
        path = store.folders.find(kind, other)
        if path is not None and store.hashes.known(path) == digest:
            raise InvalidListing(f"the same weights are on this server for everybody, as '{other}'", field="files")


def _pins(connection: Connection, type_ids: list[str], owner: str) -> dict[str, str]:
    found = closure(connection, type_ids, owner, now_ms(), enforce=True)
    pins = {type_id: found.names.get(type_id, type_id) for type_id in type_ids}
    return {type_id: pinned for type_id, pinned in pins.items() if pinned in found.graphs and parse(pinned) is not None}


async def needed(request: web.Request, definition: bytes | None, files_owner: str) -> list[Need]:
    """What a graph can't do without, resolved to listings where there are some."""
    if definition is None:
        return []
    read = orjson.loads(definition)
    entries = (await request.app[OBJECT_INFO].seen_by(files_owner)).entries
    modules: dict[str, str] = {}
    files: list[tuple[str, str]] = []
    registry = request.app[OBJECT_INFO].registry
    for raw in read["graph"].values():
        type_id = raw["class_type"]
        node_type = registry.get(type_id)
        if node_type is None and type_id in entries:
            modules[type_id] = str(orjson.loads(entries[type_id]).get("python_module", ""))
        for declared in node_type.inputs if node_type is not None else ():
            value = raw["inputs"].get(declared.name)
            if declared.file_kind not in (None, "input", "output", "temp") and isinstance(value, str) and value not in declared.also:
                files.append((str(declared.file_kind), value))
    folders = request.app[FOLDERS]
    tokens = await asyncio.to_thread(_tokens, folders, files)
    return await request.app[DATABASE].read(needs_of, types_inside(read["graph"]), tokens, sorted(set(modules.values())))


def _tokens(folders: Any, files: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    identity = FileIdentity(folders)
    return {(kind, name): identity(kind, name).hex() if folders.find(kind, name) is not None else "" for kind, name in files}
