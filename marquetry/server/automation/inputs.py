"""Inputs: a graph with other values in it, for the items of a batch and for flows that are run by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marquetry.server.automation.errors import WrongInputs


def with_inputs(graph: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The API graph with values set; names are `node.input`. What isn't touched is shared with the given one. Raises WrongInputs."""
    changed = dict(graph)
    for name, value in values.items():
        node_id, _, input_name = name.rpartition(".")
        node = changed.get(node_id)
        if not isinstance(node, dict) or not isinstance(node.get("inputs"), dict):
            raise WrongInputs(f"'{name[:100]}' names no node of the graph; write node.input, as in 2.text", name=name[:100])
        if input_name not in node["inputs"]:
            known = ", ".join(list(node["inputs"])[:20])
            raise WrongInputs(f"node '{node_id}' has no input '{input_name[:100]}'; it has {known or 'none'}", name=name[:100])
        changed[node_id] = {**node, "inputs": {**node["inputs"], input_name: value}}
    return changed
