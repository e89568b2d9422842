"""The editor's format under random files and random graphs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquetry.engine.editor import detect, from_api, to_api
from marquetry.engine.errors import GraphError
from marquetry.engine.folders import Folders
from marquetry.engine.registry import Registry
from tests.engine.editor_nodes import editor_registry


@pytest.fixture(scope="module")
def registry() -> Registry:
    return editor_registry()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return Folders(tmp_path_factory.mktemp("data"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
field_values = st.sampled_from([1, "a", None, "PrimitiveNode", "Reroute", "Sample", "sub", -10, -20, 4, 2]) | json_values
rough_nodes = st.lists(st.fixed_dictionaries({"id": st.integers(0, 3), "type": st.sampled_from(["Sample", "Reroute", "PrimitiveNode", "sub", "Save", "GetNode", "?"])}, optional={
    "mode": field_values, "inputs": st.lists(st.fixed_dictionaries({"name": st.sampled_from(["images", "model", "a"]), "link": st.integers(0, 5)}), max_size=2) | json_values,
    "outputs": json_values, "widgets_values": json_values, "properties": json_values, "widgets_values_named": json_values,
}), max_size=5)  # fmt: skip
rough_links = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from([0, 1, 2, 3, -10]),
        st.integers(-1, 2),
        st.sampled_from([0, 1, 2, 3, -20]),
        st.integers(0, 2),
        st.just("*"),
    ).map(list)
    | json_values,
    max_size=6,
)
rough_files = st.fixed_dictionaries({"nodes": rough_nodes, "links": rough_links}, optional={
    "definitions": st.fixed_dictionaries({"subgraphs": st.lists(st.fixed_dictionaries({"id": st.just("sub"), "nodes": rough_nodes, "links": rough_links, "inputs": json_values, "outputs": json_values}), max_size=2)}),
    "extra": json_values,
})  # fmt: skip


@given(raw=rough_files)
def test_any_file_is_converted_or_refused_and_never_fails_otherwise(raw: Any, registry: Registry, folders: Folders) -> None:
    try:
        conversion = to_api(raw, registry, folders)
    except GraphError:
        return
    for entry in conversion.graph.values():
        for value in entry["inputs"].values():
            assert not isinstance(value, list) or value[0] in conversion.graph


node_ids = st.sampled_from(["1", "2", "7", "10", "4:2", "name", "007"])
constants: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "Loader": st.fixed_dictionaries({"name": st.sampled_from(["a.ckpt", "b.ckpt"])}),
    "Lora": st.fixed_dictionaries({"strength": st.floats(-2, 2)}),
    "Encode": st.fixed_dictionaries({"text": st.text(st.characters(exclude_characters="/\\")) | st.just("{a|b} (c:1.2) \\(d\\)")}),
    "Sample": st.fixed_dictionaries(
        {"seed": st.integers(0, 2**64 - 1), "steps": st.integers(1, 100), "sampler_name": st.sampled_from(["euler", "heun"])},
        optional={"denoise": st.floats(0, 1)},
    ),
    "Pick": st.fixed_dictionaries({"names": st.lists(st.sampled_from(["a", "b"])).map(lambda names: {"__value__": names}), "plain": st.integers(0, 9)}),
    "Mystery": st.dictionaries(st.sampled_from(["x", "y"]), st.integers() | st.text()),
    "Save": st.fixed_dictionaries({"filename_prefix": st.sampled_from(["a", "b/c"])}, optional={"extra": st.integers()}),
}  # fmt: skip


@st.composite
def api_graphs(draw: st.DrawFn) -> dict[str, Any]:
    graph: dict[str, Any] = {}
    for id in draw(st.lists(node_ids, unique=True, max_size=6)):
        kind = draw(st.sampled_from(sorted(constants)))
        inputs = dict(draw(constants[kind]))
        if graph:
            for name in draw(
                st.lists(st.sampled_from(["model", "clip", "images", "positive", "more", "steps", "text"]), unique=True, max_size=2)
            ):
                inputs[name] = [draw(st.sampled_from(sorted(graph))), draw(st.integers(0, 2))]
        graph[id] = {"class_type": kind, "inputs": inputs}
        if draw(st.booleans()):
            graph[id]["_meta"] = {"title": "A title"}
    return graph


@given(graph=api_graphs())
def test_an_api_graph_survives_the_way_to_the_editor_and_back(graph: dict[str, Any], registry: Registry, folders: Folders) -> None:
    drawn = from_api(graph, registry)
    assert detect(drawn) == "editor"
    back = to_api(drawn, registry, folders).graph
    required = {"Encode": {"text"}, "Sample": {"seed", "steps", "sampler_name"}}
    assert set(back) == set(graph)
    for id, entry in graph.items():
        assert back[id]["class_type"] == entry["class_type"]
        assert back[id]["inputs"] == entry["inputs"] or set(back[id]["inputs"]) - set(entry["inputs"]) <= required.get(
            entry["class_type"], set()
        )
        assert entry.get("_meta", back[id]["_meta"]) == back[id]["_meta"]
