"""Answers: what an engine says of itself, the same in every kind of worker."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
import orjson

from marquetry.engine.graph import Graph
from marquetry.engine.registry import describe as object_info
from marquetry.engine.schema import NodeType
from marquetry.engine.validation import validate as check
from marquetry.server.jobs.workers.parts import EngineParts
from marquetry.server.jobs.workers.worker import Description, FileChoices, NodeDescription, ProblemReply, ValidationReply
from marquetry.server.published.checking import check as check_published
from marquetry.server.published.definitions import permitted

LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "pillow")


def describe(parts: EngineParts) -> Description:
    """All node types. A node that can't be described is left out, with the reason among the failures."""
    nodes: list[NodeDescription] = []
    failed = dict(parts.failed_packs)
    for node_type in parts.registry.values():
        try:
            nodes.append(_describe(node_type, parts))
        except Exception as error:  # the code of packs
            failed[node_type.id] = f"can't be described: {error}"
    return Description(tuple(nodes), failed, dict(parts.web_directories))


def _describe(node_type: NodeType, parts: EngineParts) -> NodeDescription:
    current = node_type.refresh() if node_type.refresh is not None else node_type
    choices = tuple(
        FileChoices("required" if declared.required else "optional", declared.name, declared.file_kind, declared.also)
        for declared in current.inputs
        if declared.file_kind is not None
    )
    info = orjson.dumps(object_info(current, parts.services.folders), default=_plain, option=orjson.OPT_NON_STR_KEYS)
    return NodeDescription(current.id, current.is_output, current.validate is not None, msgspec.Raw(info), choices)


async def validate(
    parts: EngineParts, graph: bytes, targets: Sequence[str] | None, owner: str = "", published: bytes = b""
) -> ValidationReply:
    """Check an API graph, with the published graphs that it uses. Raises GraphError."""
    submitted = Graph.from_api(orjson.loads(graph), parts.executor.limits)
    folders = parts.services.folders.of(owner)
    if published:
        folders = folders.permitting(permitted(published))
        found = await check_published(submitted, parts.registry, folders, targets, published, parts.executor.limits)
    else:
        found = await check(submitted, parts.registry, folders, targets)
    problems = tuple(
        ProblemReply(problem.type, problem.message, problem.details, problem.node_id, problem.input_name, _jsonable(problem.extra))
        for problem in found.problems
    )
    coerced = graph if found.graph is submitted else orjson.dumps(found.graph.to_api())
    return ValidationReply(problems, found.outputs, coerced, dict(found.dependent_outputs))


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def devices() -> tuple[dict[str, Any], ...]:
    """The accelerators, or the CPU, as `system_stats` shows them. Nothing is imported for it."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "cuda") or not torch.cuda.is_available():
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return (_device("cpu", "cpu", 0, total, free, total, free),)
    found = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        reserved = torch.cuda.memory_reserved(index)
        unused = reserved - torch.cuda.memory_allocated(index)
        found.append(_device(f"cuda:{index} {torch.cuda.get_device_name(index)}", "cuda", index, total, free + unused, reserved, unused))
    return tuple(found)


def libraries() -> dict[str, str]:
    """The versions of what nodes are made with, as far as they are imported."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES if ("PIL" if name == "pillow" else name) in sys.modules}


def _device(name: str, kind: str, index: int, total: int, free: int, torch_total: int, torch_free: int) -> dict[str, Any]:
    return {
        "name": name,
        "type": kind,
        "index": index,
        "vram_total": total,
        "vram_free": free,
        "torch_vram_total": torch_total,
        "torch_vram_free": torch_free,
    }


def _jsonable(value: Any) -> Any:
    """What a pack put into a problem, as JSON shows it."""
    return orjson.loads(orjson.dumps(dict(value), default=_plain, option=orjson.OPT_NON_STR_KEYS))


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    if isinstance(value, bool | int):
        return int(value)
    return float(value) if isinstance(value, float) else str(value)
