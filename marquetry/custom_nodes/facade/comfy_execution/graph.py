"""`comfy_execution.graph` for packs."""

from __future__ import annotations

from marquetry.engine.errors import GraphError
from marquetry.engine.expansion import is_link
from marquetry.engine.outcome import ExecutionBlocker

__all__ = ["DependencyCycleError", "ExecutionBlocker", "NodeInputError", "NodeNotFoundError", "is_link"]


class DependencyCycleError(GraphError):
    """A node needs its own result."""


class NodeInputError(GraphError):
    """An input can't be used."""


class NodeNotFoundError(GraphError):
    """A link leads to a node that is not there."""
