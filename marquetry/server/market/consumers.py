"""Consumers: what the nodes of a graph will consume and draw upon, for quotes. Looks into files, so it runs in a thread."""

from __future__ import annotations

import hashlib
import threading
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import orjson

from marquetry.engine.file_identity import FileIdentity
from marquetry.engine.folders import DATA_FOLDERS, Folders
from marquetry.engine.foresight import ForeseenNode, Foresight, Limits
from marquetry.engine.graph import Graph, Link
from marquetry.engine.schema import NodeType
from marquetry.engine.sealed import opened
from marquetry.engine.usage import Extent
from marquetry.marketplace.plans.checks import Need
from marquetry.marketplace.pricing.price import QUOTA_OPERATIONS
from marquetry.marketplace.pricing.quote import Consumer
from marquetry.server.published.definitions import unpack

MAX_KNOWN = 10_000
INPAINT = "inpaint."
TRAIN = "train."
UPSCALE = "upscale."


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a graph will consume, and what of it plans limit. `sealed` are the submitted nodes that stand for published graphs."""

    consumers: tuple[Consumer, ...]
    need: Need
    sealed: frozenset[str] = frozenset()


@dataclass(slots=True)
class Foreseer:
    """Reads graphs for quotes. What it finds in files is kept for as long as they stay the same."""

    types: Mapping[str, NodeType]
    folders: Folders
    limits: Limits
    max_nodes: int
    _families: dict[tuple[str, int, int], str | None] = field(default_factory=dict)
    _sizes: dict[tuple[str, int, int], Extent | None] = field(default_factory=dict)
    _identities: dict[str, FileIdentity] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, graph: Graph, outputs: Sequence[str], owner: str) -> Foreseen:
        """What the outputs of a valid graph will consume. Raises GraphError where a published graph can't be put in place."""
        types: Mapping[str, NodeType] = self.types
        sealed: frozenset[str] = frozenset()
        inside: Mapping[str, Any] = {}
        if graph.published:
            graph = opened(graph, unpack(graph.published), self.max_nodes)
            places = graph.opened
            assert places is not None
            types = ChainMap(places.types, dict(types))
            sealed, inside = frozenset(places.gates), places.seals
        folders = self.folders.of(owner)
        token = cache(lambda kind, name: self._token(owner, folders, kind, name))  # every file is looked at once for each graph
        foresight = Foresight(types, self.limits, cache(lambda kind, name: self._size(folders, kind, name)), cache(self._family))
        nodes = foresight.nodes(graph, outputs)
        signatures = _sign(nodes, token)
        consumers: list[Consumer] = []
        for node in nodes:
            if not node.usage and not node.files and not node.linked_files:
                continue
            id = node.node.id
            files = [token(kind, name) for kind, name in node.files]
            resources = (*(resource for usage in node.usage for resource in usage.resources), *files)
            outer = inside[id].outer_id if id in inside else id
            consumers.append(Consumer(id, outer, node.type.id, node.usage, resources, node.linked_files, node.certain, signatures.get(id)))
        return Foreseen(tuple(consumers), _need(nodes), sealed)

    def _family(self, kind: str, name: str) -> str | None:
        from marquetry.engine.models.store import ModelStore

        try:
            path = self.folders.full_path(kind, name)
            status = path.stat()
            place = (str(path), status.st_size, status.st_mtime_ns)
            if place not in self._families:
                _bound(self._families)
                self._families[place] = ModelStore(self.folders).show(kind, name).family
            return self._families[place]
        except Exception:  # whatever is wrong with the file, the run will say; the quote takes it for the costliest
            return None

    def _size(self, folders: Folders, kind: str, name: str) -> Extent | None:
        from PIL import Image

        try:
            path = folders.annotated(name, kind)
            status = path.stat()
            place = (str(path), status.st_size, status.st_mtime_ns)
            if place not in self._sizes:
                _bound(self._sizes)
                with Image.open(path) as picture:
                    self._sizes[place] = Extent(*picture.size, getattr(picture, "n_frames", 1))
            return self._sizes[place]
        except Exception:  # no picture that can be read: the declared limit holds
            return None

    def _token(self, owner: str, folders: Folders, kind: str, name: str) -> str:
        """The content hash of a file, as workers report it."""
        key = owner if kind in DATA_FOLDERS else ""
        with self._lock:
            identity = self._identities.get(key)
            if identity is None:
                _bound(self._identities)
                identity = self._identities[key] = FileIdentity(folders)
        return identity(kind, name).hex()


def _sign(nodes: Sequence[ForeseenNode], token: Callable[[str, str], str]) -> dict[str, str]:
    """What stands for the content that each node makes; only for comparison with what the same owner made."""
    signed: dict[str, str] = {}
    for node in nodes:
        if node.type.not_idempotent or node.type.fingerprint is not None:
            continue
        inputs: list[Any] = []
        for name, value in sorted(node.node.inputs.items()):
            if type(value) is Link:
                parent = signed.get(value.node_id)
                if parent is None:
                    break
                inputs.append((name, parent, value.slot))
            else:
                inputs.append((name, value))
        else:
            tokens = [token(kind, name) for kind, name in (*node.files, *_data_files(node))]
            signed[node.node.id] = _digest([node.type.id, node.type.version, inputs, tokens])
    return signed


def _need(nodes: Sequence[ForeseenNode]) -> Need:
    side = pictures = inpaints = trainings = upscales = 0
    families: set[str] = set()
    for node in nodes:
        for usage in node.usage:
            if usage.operation.startswith(QUOTA_OPERATIONS):
                side = max(side, node.extent.width, node.extent.height)
                pictures += node.extent.count
                families |= node.families
            inpaints += usage.operation.startswith(INPAINT)
            trainings += usage.operation.startswith(TRAIN)
            upscales += usage.operation.startswith(UPSCALE)
    return Need(side, pictures, frozenset(families), inpaints, trainings, upscales)


def _data_files(node: ForeseenNode) -> list[tuple[str, str]]:
    """Uploads and results that a node reads: by their content, not their names."""
    found: list[tuple[str, str]] = []
    for declared in node.type.inputs:
        value = node.node.inputs.get(declared.name)
        if declared.file_kind in DATA_FOLDERS and isinstance(value, str):
            found.append((declared.file_kind, value))
    return found


def _digest(value: Any) -> str:
    try:
        encoded = orjson.dumps(value)
    except TypeError:
        encoded = repr(value).encode(errors="surrogatepass")
    return hashlib.sha256(encoded).hexdigest()


def _bound(known: dict[Any, Any]) -> None:
    if len(known) >= MAX_KNOWN:
        known.clear()
