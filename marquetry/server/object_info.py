"""The description of every node type as clients read it, made once per change of types, files or choices, and kept as bytes."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import orjson

from marquetry.engine.folders import Folders
from marquetry.engine.registry import Registry, describe
from marquetry.engine.schema import NodeType
from marquetry.server.http.answer import encode
from marquetry.server.jobs.errors import WorkerFailed, WorkerUnavailable
from marquetry.server.jobs.service import JobService
from marquetry.server.jobs.workers.worker import Description as WorkerDescription
from marquetry.server.jobs.workers.worker import NodeDescription
from marquetry.server.packs import PackFiles
from marquetry.server.people import write_whole

logger = logging.getLogger(__name__)
OWN_FOLDERS = ("input", "output", "temp")
OWNERS_KEPT = 32  # descriptions with the files of one owner that are kept
ASKED_AGAIN_S = 2.0  # packs may change what their nodes offer at any time


@dataclass(frozen=True)
class Description:
    """All entries as one JSON text, plain and compressed, with its entity tag; and each entry alone."""

    text: bytes
    compressed: bytes
    tag: str
    entries: Mapping[str, bytes]


class ObjectInfo:
    """Keeps the description. Node types of packs that only a worker has are described by it, and remembered in `kept` for the next start."""

    def __init__(self, registry: Registry, folders: Folders, jobs: JobService, packs: PackFiles, kept: Path) -> None:
        self.registry = registry
        self.folders = folders
        self._packs = packs
        self._jobs = jobs
        self._kept = kept
        self._key: object = None
        self._known: Description | None = None
        self._lock = asyncio.Lock()
        self._revision = -1
        self._kinds: tuple[str, ...] = ()
        self._choices: tuple[Callable[[], Any], ...] = ()
        self._changing: tuple[Callable[[], NodeType], ...] = ()
        self._told: WorkerDescription | None = None
        self._foreign: dict[str, NodeDescription] = {}
        self._asked_s = -ASKED_AGAIN_S
        self._seen: OrderedDict[str, tuple[object, Description]] = OrderedDict()

    async def current(self) -> Description:
        """The description as it is now; made in a thread, once for all who wait."""
        async with self._lock:
            await self._ask_worker()
            key = await asyncio.to_thread(self._stamp)
            if self._known is None or key != self._key:
                self._known = await asyncio.to_thread(self._make)
                self._key = key
            return self._known

    async def seen_by(self, owner: str) -> Description:
        """As `current`, with the files that an owner sees."""
        shared = await self.current()
        folders = self.folders.of(owner)
        return shared if folders is self.folders else await asyncio.to_thread(self._owned, shared, folders)

    def _owned(self, shared: Description, folders: Folders) -> Description:
        key = (shared.tag, *(_mtime_ns(folders.directory(kind)) for kind in OWN_FOLDERS))
        known = self._seen.get(str(folders.input))
        if known is not None and known[0] == key:
            return known[1]
        entries = dict(shared.entries)
        for id, node_type in self.registry.items():
            if id in entries and any(declared.file_kind in OWN_FOLDERS for declared in node_type.inputs):
                entries[id] = encode(describe(node_type if node_type.refresh is None else node_type.refresh(), folders))
        for id, node in self._foreign.items():
            if id in entries and any(choice.file_kind in OWN_FOLDERS for choice in node.file_choices):
                entries[id] = self._listed_anew(node, folders)
        made = _described(entries)
        self._seen[str(folders.input)] = key, made
        if len(self._seen) > OWNERS_KEPT:
            self._seen.popitem(last=False)
        return made

    async def _ask_worker(self) -> None:
        """Learn the node types that only the worker has. Before it is ready, what it said last time holds."""
        now_s = time.monotonic()
        if now_s - self._asked_s < ASKED_AGAIN_S:
            return
        if self._jobs.ready:
            try:
                told = await self._jobs.describe()
            except (WorkerUnavailable, WorkerFailed) as error:
                logger.warning("the worker can't describe its nodes: %s", error)
            else:
                nodes = tuple(node for node in told.nodes if node.id not in self.registry)
                self._asked_s = now_s
                if self._learn(WorkerDescription(nodes, {}, told.web_directories)):
                    await asyncio.to_thread(write_whole, self._kept, msgspec.json.encode(self._told))
        if self._told is None:
            self._learn(await asyncio.to_thread(_remembered, self._kept))

    def _learn(self, told: WorkerDescription) -> bool:
        """Take in what a worker said; whether it is news."""
        if told == self._told:
            return False
        self._told = told
        self._foreign = {node.id: node for node in told.nodes if node.id not in self.registry}
        self._packs.web = {name: Path(folder) for name, folder in told.web_directories.items()}
        return True

    def _stamp(self) -> object:
        if self._revision != self.registry.revision:
            self._revision = self.registry.revision
            inputs = [declared for node_type in self.registry.values() for declared in node_type.inputs]
            self._kinds = tuple(sorted({declared.file_kind for declared in inputs if declared.file_kind is not None}))
            self._choices = tuple({declared.choices: None for declared in inputs if declared.choices is not None})
            self._changing = tuple(node_type.refresh for node_type in self.registry.values() if node_type.refresh is not None)
        foreign = self._foreign
        more = sorted({choice.file_kind for node in foreign.values() for choice in node.file_choices} - set(self._kinds))
        listings = tuple(self._listing(kind) for kind in (*self._kinds, *more))
        choices = tuple(_outcome(choices) for choices in self._choices)
        changing = tuple(_outcome(partial(self._described, refresh)) for refresh in self._changing)
        return self._revision, listings, choices, changing, tuple(bytes(node.object_info) for node in foreign.values())

    def _described(self, refresh: Callable[[], NodeType]) -> bytes:
        return encode(describe(refresh(), self.folders))

    def _listing(self, kind: str) -> object:
        if kind not in OWN_FOLDERS:
            return self.folders.list_files(kind)
        return _mtime_ns(self.folders.directory(kind))

    def _make(self) -> Description:
        entries: dict[str, bytes] = {}
        for id, node_type in self.registry.items():
            try:
                current = node_type if node_type.refresh is None else node_type.refresh()
                entries[id] = encode(describe(current, self.folders))
            except Exception as error:  # the code of packs
                logger.warning("the node type %s can't be described: %s", id, error)
        for id, node in self._foreign.items():
            entries[id] = self._listed_anew(node, self.folders)
        return _described(entries)

    def _listed_anew(self, node: NodeDescription, folders: Folders) -> bytes:
        """A worker's entry with the files that are there now."""
        if not node.file_choices:
            return bytes(node.object_info)
        entry: dict[str, Any] = orjson.loads(bytes(node.object_info))
        for choice in node.file_choices:
            files = _files(folders.directory(choice.file_kind)) if choice.file_kind in OWN_FOLDERS else folders.list_files(choice.file_kind)
            entry["input"][choice.section][choice.name][0] = [*choice.also, *files]
        return encode(entry)


def _described(entries: Mapping[str, bytes]) -> Description:
    text = b"{" + b",".join(encode(id) + b":" + entry for id, entry in entries.items()) + b"}"
    return Description(text, gzip.compress(text, 5, mtime=0), hashlib.sha256(text).hexdigest()[:32], entries)


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")) if folder.is_dir() else []


def _mtime_ns(path: Path) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return -1


def _outcome(ask: Callable[[], Any]) -> str:
    """What the code of a pack answers, as text to compare; what it raises is an answer too."""
    try:
        return str(ask())
    except Exception as error:
        return repr(error)


def _remembered(kept: Path) -> WorkerDescription:
    try:
        return msgspec.json.decode(kept.read_bytes(), type=WorkerDescription)
    except (OSError, msgspec.DecodeError):
        return WorkerDescription(())
