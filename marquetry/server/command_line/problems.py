"""Problems of a graph, for a person and for a script."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from marquetry.engine.validation import Problem


def print_problems(problems: Sequence[Problem]) -> None:
    """One line a problem, on the error stream."""
    for problem in problems:
        where = f"node {problem.node_id}: " if problem.node_id is not None else ""
        details = f" ({problem.details})" if problem.details else ""
        sys.stderr.write(f"{where}{problem.message}{details}\n")


def problem_json(problem: Problem) -> dict[str, Any]:
    """The problem as JSON."""
    named = {
        "type": problem.type,
        "message": problem.message,
        "details": problem.details,
        "node_id": problem.node_id,
        "input_name": problem.input_name,
    }
    return {key: value for key, value in named.items() if value is not None}
