"""Definitions: a graph with its interface, read from the nodes inside."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from marquetry.marketplace.listings.definition import GraphSpec, InputSpec, OutputSpec, define, hash_of
from marquetry.marketplace.listings.errors import InvalidListing
from tests.marketplace.listings.conftest import INTERFACES

GRAPH = {
    "a": {"class_type": "Paint", "inputs": {"shade": 5}, "_meta": {"title": "a title"}},
    "b": {"class_type": "Paint", "inputs": {"shade": 6, "image": ["a", 0]}},
    "s": {"class_type": "Save", "inputs": {"images": ["b", 0]}},
}


def read(**spec: Any) -> dict[str, Any]:
    given: dict[str, Any] = orjson.loads(define(GraphSpec(GRAPH, **spec), INTERFACES.get, str))
    return given


def test_inputs_have_type_limits_and_default_of_those_inside() -> None:
    found = read(inputs=[InputSpec("shade", "b", "shade", {"max": 100})], outputs=[OutputSpec("picture", "b")])
    assert found["inputs"] == [
        {"name": "shade", "node": "b", "input": "shade", "type": "INT", "options": {"default": 6, "min": 0, "max": 100}, "required": False}
    ]
    assert found["outputs"] == [{"name": "picture", "node": "b", "slot": 0, "type": "IMAGE", "is_list": False, "tooltip": None}]


def test_titles_are_not_kept() -> None:
    assert "_meta" not in read(outputs=[OutputSpec("picture", "b")])["graph"]["a"]


def test_the_hash_follows_the_content_alone() -> None:
    spec = GraphSpec(GRAPH, outputs=[OutputSpec("picture", "b")])
    turned = GraphSpec(dict(reversed(list(GRAPH.items()))), outputs=[OutputSpec("picture", "b")])
    assert hash_of(define(spec, INTERFACES.get, str)) == hash_of(define(turned, INTERFACES.get, str))


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "at least one output"),
        ({"outputs": [OutputSpec("p", "z")]}, "no node 'z'"),
        ({"outputs": [OutputSpec("p", "b", 4)]}, "none with the number 4"),
        ({"outputs": [OutputSpec("p", "b"), OutputSpec("p", "a")]}, "used once"),
        ({"outputs": [OutputSpec("7up", "b")]}, "begins with a letter"),
        ({"shows": ["a"]}, "no output node"),
        ({"shows": ["s"], "inputs": [InputSpec("x", "a", "nope")]}, "no input 'nope'"),
        ({"shows": ["s"], "previews": ["nope"]}, "no node 'nope'"),
    ],
)
def test_what_is_declared_wrong_is_named(spec: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidListing, match=said):
        read(**spec)


def test_ids_that_would_clash_with_those_of_the_engine_are_refused() -> None:
    graph = {"a#b": {"class_type": "Paint", "inputs": {}}}
    with pytest.raises(InvalidListing, match="no #"):
        define(GraphSpec(graph, outputs=[OutputSpec("p", "a#b")]), INTERFACES.get, str)
