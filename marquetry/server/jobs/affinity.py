"""Affinity: which weights a job needs first, so that jobs with the same ones may run one after the other."""

from __future__ import annotations

from marquetry.engine.graph import Graph

INPUTS = ("ckpt_name", "unet_name")
LONGEST = 512


def affinity_of(graph: Graph) -> str:
    """The names of the checkpoints that a graph loads; empty when it loads none."""
    names = {name for node in graph.nodes.values() for key in INPUTS if isinstance(name := node.inputs.get(key), str) and name}
    return "\n".join(sorted(names))[:LONGEST] if names else ""
