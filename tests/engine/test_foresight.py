"""What graphs will consume at most is known before they run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

import marquetry.graphs
import marquetry.nodes
from marquetry.engine.foresight import ForeseenNode, Foresight, Limits
from marquetry.engine.graph import Graph
from marquetry.engine.registry import Registry
from marquetry.engine.usage import Extent, extent_of, images, number_of

GRAPHS = Path(marquetry.graphs.__path__[0])
TYPES = Registry()
TYPES.scan(marquetry.nodes)


def foresee(api: Mapping[str, Any], *outputs: str, **more: Any) -> dict[str, ForeseenNode]:
    graph = Graph.from_api(api)
    found = Foresight(TYPES, **more).nodes(graph, outputs or tuple(graph))
    return {node.node.id: node for node in found}


def consumed(api: Mapping[str, Any], *outputs: str, **more: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for node in foresee(api, *outputs, **more).values():
        for usage in node.usage:
            found[usage.operation] = found.get(usage.operation, 0) + usage.quantity
    return found


def text_to_image(**latent: Any) -> dict[str, Any]:
    api: dict[str, Any] = json.loads((GRAPHS / "text_to_image.json").read_text())
    for node in api.values():
        if node["class_type"] == "EmptyLatentImage":
            node["inputs"] |= latent
    return api


def sd1(kind: str, name: str) -> str:
    return "sd1"


@pytest.mark.parametrize(
    ("width", "height", "batch", "images"),
    [(512, 512, 1, 1), (1024, 1024, 1, 1), (1024, 1032, 1, 2), (1024, 1024, 4, 4), (2048, 2048, 2, 8)],
)
def test_a_picture_counts_for_each_megapixel_that_is_begun(width: int, height: int, batch: int, images: int) -> None:
    assert consumed(text_to_image(width=width, height=height, batch_size=batch), read_family=sd1) == {"image.standard": images}


def test_weights_that_nobody_recognises_are_taken_for_premium() -> None:
    assert consumed(text_to_image(width=512, height=512, batch_size=1)) == {"image.premium": 1}


def test_more_than_fifty_steps_count_as_further_pictures() -> None:
    assert [images(Extent(512, 512), steps, frozenset())[0].quantity for steps in (0, 1, 50, 51, 150)] == [1, 1, 1, 2, 3]


def test_a_linked_size_is_what_its_number_says_and_else_the_declared_limit() -> None:
    api = text_to_image(width=["w", 0], height=1024, batch_size=1) | {"w": {"class_type": "PrimitiveInt", "inputs": {"value": 2048}}}
    assert consumed(api, read_family=sd1) == {"image.standard": 2}
    api["w"] = {"class_type": "IntegerMath", "inputs": {"a": 1024, "b": 4, "operation": "multiply"}}
    assert consumed(api, read_family=sd1, limits=Limits(Extent(4096, 4096, 2))) == {"image.standard": 4}


def test_a_batch_grows_as_its_nodes_make_it_grow() -> None:
    api = text_to_image(width=512, height=512, batch_size=3)
    sampler = next(node for node in api.values() if node["class_type"] == "KSampler")
    api["more"] = {"class_type": "RepeatLatentBatch", "inputs": {"samples": sampler["inputs"]["latent_image"], "amount": 5}}
    sampler["inputs"]["latent_image"] = ["more", 0]
    assert consumed(api, read_family=sd1) == {"image.standard": 15}


def test_a_node_that_goes_on_as_a_graph_declares_what_that_consumes() -> None:
    inputs = {"model_name": "a", "prompt": "", "width": 2048, "height": 1024, "steps": 20}
    assert consumed({"1": {"class_type": "TextToImage", "inputs": inputs}}, read_family=sd1) == {"image.standard": 2}
    assert consumed({"1": {"class_type": "TextToImage", "inputs": inputs}}, read_family=lambda kind, name: "flux") == {"image.premium": 2}


def test_the_size_of_a_loaded_picture_is_read() -> None:
    api = json.loads((GRAPHS / "image_to_image.json").read_text())
    size = Extent(1600, 1200)
    assert consumed(api, read_family=sd1, read_size=lambda kind, name: size) == {"image.standard": 2}
    assert consumed(api, read_family=sd1, limits=Limits(Extent(1024, 1024, 3))) == {"image.standard": 3}


def test_what_only_a_lazy_input_wants_is_not_certain() -> None:
    api = {
        "a": {"class_type": "PrimitiveInt", "inputs": {"value": 1}},
        "b": {"class_type": "PrimitiveInt", "inputs": {"value": 2}},
        "which": {"class_type": "PrimitiveBoolean", "inputs": {"value": True}},
        "switch": {"class_type": "ComfySwitchNode", "inputs": {"switch": ["which", 0], "on_true": ["a", 0], "on_false": ["b", 0]}},
    }
    assert {id for id, node in foresee(api, "switch").items() if node.certain} == {"which", "switch"}


@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 8))
def test_values_measure_as_they_were_foreseen(width: int, height: int, count: int) -> None:
    latent = {"samples": numpy.zeros((count, 4, height, width))}
    assert extent_of(latent) == Extent(width * 8, height * 8, count)
    assert extent_of(numpy.zeros((count, height, width, 3))) == Extent(width, height, count)
    assert extent_of([latent, latent]) == Extent(width * 8, height * 8, count * 2)
    assert number_of(numpy.zeros(count + 1)) == count
