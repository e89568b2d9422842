"""`comfy_execution.graph_utils` for packs: building the graph that a node goes on as."""

from __future__ import annotations

from marquetry.engine.expansion import GraphBuilder, add_graph_prefix, is_link
from marquetry.engine.expansion import GraphNode as Node
from marquetry.engine.outcome import ExecutionBlocker

__all__ = ["ExecutionBlocker", "GraphBuilder", "Node", "add_graph_prefix", "is_link"]
