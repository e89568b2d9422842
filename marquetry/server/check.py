"""Checking graphs before they are queued: here where all their node types are known here, else by the worker that has their packs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import orjson

from marquetry.engine.folders import Folders
from marquetry.engine.graph import Graph, GraphLimits
from marquetry.engine.registry import Registry
from marquetry.engine.sealed import stands_for
from marquetry.engine.validation import Problem, validate
from marquetry.marketplace.listings.errors import PrivateWeights
from marquetry.server.jobs.service import JobService
from marquetry.server.jobs.workers.worker import ProblemReply
from marquetry.server.published.checking import check as check_published
from marquetry.server.published.definitions import permitted, permitting, raw_graphs, types_needed, unpack
from marquetry.server.published.private import MARK, Use, takes_away, uses_of

READY_S = 60.0  # how long a graph waits for a worker that starts: clients send as soon as the port is open
LOOK_AGAIN_S = 0.02
LARGE_GRAPH = 250  # nodes from which on the check runs in a thread, so that everybody else is answered meanwhile


FindPublished: TypeAlias = Callable[[Sequence[str], str], Awaitable[bytes]]
Permit: TypeAlias = Callable[[Sequence[Use], str], Awaitable[frozenset[tuple[str, str]]]]


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found. `json` is the graph's JSON where it is still as it came; None: its literals were brought into their types."""

    problems: tuple[Problem | ProblemReply, ...]
    outputs: tuple[str, ...]
    graph: Graph
    json: bytes | None
    dependent_outputs: Mapping[str, Sequence[str]]


async def _none_published(type_ids: Sequence[str], owner: str) -> bytes:
    return b""


async def _none_permitted(uses: Sequence[Use], owner: str) -> frozenset[tuple[str, str]]:
    return frozenset()


class GraphCheck:
    """Validation for all routes. `registry` holds the node types that this process can check by itself; `find_published` gives the published
    graphs that some node types stand for, as an owner may use them."""

    def __init__(self, registry: Registry, folders: Folders, jobs: JobService, limits: GraphLimits) -> None:
        self.registry = registry
        self.folders = folders
        self.limits = limits
        self.find_published: FindPublished = _none_published
        self.permit: Permit = _none_permitted
        self._jobs = jobs

    async def check(self, prompt: Mapping[str, Any], targets: Sequence[str] | None = None, owner: str = "") -> Checked:
        """All problems of an API graph at once; its files are those that the owner sees.

        Raises GraphError when it can't be read, WorkerUnavailable when only a worker can tell, NotEntitled when it uses what is to be bought.
        """
        is_large = len(prompt) >= LARGE_GRAPH
        graph, text = await asyncio.to_thread(self._read, prompt) if is_large else self._read(prompt)
        names = stands_for(graph)
        published = await self.find_published(names, owner) if names else b""
        if MARK in text or (published and MARK in raw_graphs(published)):
            published = permitting(published, await self.permit(self._private(graph, published), owner))
        if any(type_id not in self.registry for type_id in types_needed(graph, published)):
            await self._until_ready()
            reply = await self._jobs.validate(text, targets, owner, published)
            checked = replace(Graph.from_api(orjson.loads(reply.graph), self.limits), published=published) if reply.outputs else graph
            return Checked(reply.problems, reply.outputs, checked, None, reply.dependent_outputs)
        folders = self.folders.of(owner)
        if published:
            folders = folders.permitting(permitted(published))
            checking = check_published(graph, self.registry, folders, targets, published, self.limits)
        else:
            checking = validate(graph, self.registry, folders, targets)
        found = await (asyncio.to_thread(asyncio.run, checking) if is_large else checking)
        unchanged = found.graph.nodes is graph.nodes
        return Checked(found.problems, found.outputs, found.graph, text if unchanged else None, found.dependent_outputs)

    def _private(self, graph: Graph, published: bytes) -> list[Use]:
        """The private weights that are named. Raises PrivateWeights where they would be taken away."""
        definitions = unpack(published) if published else {}
        found = uses_of(graph, definitions, self.registry)
        taker = takes_away(graph, self.registry) or next(
            (type_id for type_id, each in definitions.items() if takes_away(each.graph, self.registry)), None
        )
        if found and taker is not None:
            raise PrivateWeights(
                f"'{taker}' saves models, and there are private weights in the graph, which can't be taken away", node_id=taker
            )
        return found

    def _read(self, prompt: Mapping[str, Any]) -> tuple[Graph, bytes]:
        return Graph.from_api(prompt, self.limits), orjson.dumps(prompt)

    async def _until_ready(self) -> None:
        until = asyncio.get_running_loop().time() + READY_S
        while not self._jobs.ready and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(LOOK_AGAIN_S)
