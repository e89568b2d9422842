"""What is wrong with a prompt, in the form that ComfyUI's clients read: `{"error": {...}, "node_errors": {...}}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from aiohttp import web
from pydantic import BaseModel

from marquetry.server.http.answer import json_answer

OF_THE_PROMPT = frozenset({"no_prompt", "invalid_prompt", "prompt_no_outputs"})


class Problem(Protocol):
    """A finding of validation, wherever it was made."""

    @property
    def type(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def details(self) -> str: ...
    @property
    def node_id(self) -> str | None: ...
    @property
    def input_name(self) -> str | None: ...
    @property
    def extra(self) -> Mapping[str, Any]: ...


class PromptError(BaseModel):
    type: str
    message: str
    details: str
    extra_info: dict[str, Any]


class NodeErrors(BaseModel):
    errors: list[PromptError]
    dependent_outputs: list[str]
    class_type: str


class PromptRefused(BaseModel):
    """Why a prompt was not taken: as a whole, and by node."""

    error: PromptError
    node_errors: dict[str, NodeErrors]


def refused(type: str, message: str, *, details: str = "", extra: Mapping[str, Any] | None = None, status: int = 400) -> web.Response:
    """A prompt that is wrong as a whole."""
    return json_answer({"error": _error(type, message, details, extra or {}), "node_errors": {}}, status)


def invalid(problems: Sequence[Problem], dependent_outputs: Mapping[str, Sequence[str]], graph: Mapping[str, Any]) -> web.Response:
    """A prompt of which no output can be made."""
    for problem in problems:
        if problem.type in OF_THE_PROMPT:
            return refused(problem.type, problem.message, details=problem.details, extra=problem.extra)
    details = "\n".join(f"{problem.message}: {problem.details}" if problem.details else problem.message for problem in problems)
    return json_answer(
        {
            "error": _error("prompt_outputs_failed_validation", "Prompt outputs failed validation", details, {}),
            "node_errors": node_errors(problems, dependent_outputs, graph),
        },
        400,
    )


def node_errors(
    problems: Sequence[Problem], dependent_outputs: Mapping[str, Sequence[str]], graph: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The problems of each node, and the outputs that it keeps from being made."""
    found: dict[str, dict[str, Any]] = {}
    for problem in problems:
        if problem.node_id is None:
            continue
        entry = found.get(problem.node_id)
        if entry is None:
            node = graph.get(problem.node_id)
            class_type = node.get("class_type", "") if isinstance(node, Mapping) else ""
            outputs = list(dependent_outputs.get(problem.node_id, ()))
            entry = found[problem.node_id] = {"errors": [], "dependent_outputs": outputs, "class_type": class_type}
        entry["errors"].append(_error(problem.type, problem.message, problem.details, problem.extra))
    return found


def _error(type: str, message: str, details: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": type, "message": message, "details": details, "extra_info": dict(extra)}
