"""The editor's files: every rule by which they become an API graph."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

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


class Drawing:
    """Writes an editor file: nodes by id, links by what they join."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.links: list[list[Any]] = []
        self.definitions: list[dict[str, Any]] = []

    def node(self, id: Any, type: str, values: Any = None, *, mode: int = 0, inputs: Any = (), outputs: Any = (), **more: Any) -> None:
        """`inputs` are (name, type, link[, widget]), `outputs` are types."""
        self.nodes.append({
            "id": id, "type": type, "mode": mode, "widgets_values": values,
            "inputs": [
                {"name": entry[0], "type": entry[1], "link": entry[2]} | ({"widget": {"name": entry[3]}} if len(entry) > 3 else {}) for entry in inputs
            ],
            "outputs": [{"name": kind, "type": kind, "links": []} for kind in outputs],
            **more,
        })  # fmt: skip

    def link(self, id: int, origin: Any, slot: int, target: Any, target_slot: int = 0, kind: str = "*") -> None:
        self.links.append([id, origin, slot, target, target_slot, kind])

    def file(self) -> dict[str, Any]:
        return {"nodes": self.nodes, "links": self.links, "definitions": {"subgraphs": self.definitions}, "version": 0.4}

    def define(self, id: str, inputs: list[tuple[str, str]], outputs: list[tuple[str, str]]) -> dict[str, Any]:
        """This drawing as a subgraph definition, in schema 1.0."""
        keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
        return {
            "id": id, "name": id, "nodes": self.nodes, "links": [dict(zip(keys, link, strict=True)) for link in self.links],
            "inputs": [{"id": name, "name": name, "type": kind} for name, kind in inputs],
            "outputs": [{"id": name, "name": name, "type": kind} for name, kind in outputs],
            "inputNode": {"id": -10}, "outputNode": {"id": -20}, "state": {},
        }  # fmt: skip


def inputs_of(drawing: Drawing, registry: Registry, folders: Folders, **options: Any) -> dict[str, dict[str, Any]]:
    conversion = to_api(drawing.file(), registry, folders, **options)
    assert conversion.problems == []
    return {id: entry["inputs"] for id, entry in conversion.graph.items()}


SAMPLE_VALUES = [7, "randomize", 30, "heun", 0.5]


def test_what_follows_a_seed_is_not_the_next_inputs_value(registry: Registry, folders: Folders) -> None:
    drawing = Drawing()
    drawing.node(1, "Sample", SAMPLE_VALUES)
    assert inputs_of(drawing, registry, folders) == {"1": {"seed": 7, "steps": 30, "sampler_name": "heun", "denoise": 0.5}}


@pytest.mark.parametrize(
    ("type", "values", "expected"),
    [
        ("Sample", [7, True, 30, "sample_euler", 0.5], {"seed": 7, "steps": 30, "sampler_name": "euler", "denoise": 0.5}),  # very old
        ("Sample", [7, "fixed", 30], {"seed": 7, "steps": 30, "sampler_name": "euler", "denoise": 1.0}),  # inputs were added since
        ("Sample", [*SAMPLE_VALUES, "tail", 3], {"seed": 7, "steps": 30, "sampler_name": "heun", "denoise": 0.5}),
        ("Sample", None, {"seed": 0, "steps": 20, "sampler_name": "euler", "denoise": 1.0}),
        ("Sample", {"steps": 3, "seed": 1}, {"seed": 1, "steps": 3, "sampler_name": "euler", "denoise": 1.0}),
        ("Sample", [7, 30, "heun", 0.5], {"seed": 7, "steps": 30, "sampler_name": "heun", "denoise": 0.5}),  # written without controls
        ("LoadPicture", ["a.png", True, "image"], {"image": "a.png", "invert": True}),  # the button comes after optional inputs
        ("Old", ["w", 2.0], {"words": "w", "scale": 2.0}),
        ("Old", [5, 9, "fixed", "w", 2.0], {"words": "w", "scale": 2.0}),  # socket-only inputs had widgets once
        ("Pick", [["a", "b"], 3], {"names": {"__value__": ["a", "b"]}, "plain": 3}),
    ],
)
def test_widget_values_are_read_in_all_the_forms_they_were_written_in(
    type: str, values: Any, expected: dict[str, Any], registry: Registry, folders: Folders
) -> None:
    drawing = Drawing()
    drawing.node(1, type, values)
    assert inputs_of(drawing, registry, folders) == {"1": expected}


def test_values_by_name_win_over_values_by_place(registry: Registry, folders: Folders) -> None:
    drawing = Drawing()
    drawing.node(1, "Sample", [1, "fixed", 2, "euler", 1.0], widgets_values_named={"seed": 8, "steps": 9})
    assert inputs_of(drawing, registry, folders)["1"] == {"seed": 8, "steps": 9, "sampler_name": "euler", "denoise": 1.0}


def test_a_linked_widget_keeps_its_place_and_sends_the_link(registry: Registry, folders: Folders) -> None:
    drawing = Drawing()
    drawing.node(1, "Loader", ["b.ckpt"], outputs=["MODEL", "CLIP"])
    drawing.node(2, "Encode", ["ignored"], inputs=[("clip", "CLIP", 4), ("text", "STRING", 5, "text")])
    drawing.node(3, "PrimitiveNode", ["typed", "fixed"], outputs=["STRING"])
    drawing.link(4, 1, 1, 2)
    drawing.link(5, 3, 0, 2, 1)
    assert inputs_of(drawing, registry, folders) == {"1": {"name": "b.ckpt"}, "2": {"text": "typed", "clip": ["1", 1]}}


def lora_chain(mode: int) -> Drawing:
    drawing = Drawing()
    drawing.node(1, "Loader", ["a.ckpt"], outputs=["MODEL", "CLIP"])
    drawing.node(2, "Lora", [1.0], mode=mode, inputs=[("model", "MODEL", 1), ("clip", "CLIP", 2)], outputs=["MODEL", "CLIP"])
    drawing.node(3, "Encode", ["x"], inputs=[("clip", "CLIP", 3)])
    drawing.node(4, "Sample", SAMPLE_VALUES, inputs=[("model", "MODEL", 4)])
    for link in ((1, 1, 0, 2, 0), (2, 1, 1, 2, 1), (3, 2, 1, 3, 0), (4, 2, 0, 4, 0)):
        drawing.link(*link)
    return drawing


def test_a_bypassed_node_passes_each_type_through(registry: Registry, folders: Folders) -> None:
    converted = inputs_of(lora_chain(4), registry, folders)
    assert "2" not in converted
    assert converted["3"]["clip"] == ["1", 1]
    assert converted["4"]["model"] == ["1", 0]


def test_a_muted_node_cuts_the_wire(registry: Registry, folders: Folders) -> None:
    converted = inputs_of(lora_chain(2), registry, folders)
    assert "clip" not in converted["3"] and "model" not in converted["4"]


def test_a_bypassed_source_without_match_leaves_the_widgets_value(registry: Registry, folders: Folders) -> None:
    drawing = Drawing()
    drawing.node(1, "Loader", ["a.ckpt"], mode=4, outputs=["STRING"])
    drawing.node(2, "Encode", ["mine"], inputs=[("text", "STRING", 1, "text")])
    drawing.link(1, 1, 0, 2)
    assert inputs_of(drawing, registry, folders)["2"] == {"text": "mine"}


def test_reroutes_named_wires_and_notes_vanish(registry: Registry, folders: Folders) -> None:
    drawing = Drawing()
    drawing.node(1, "Loader", ["a.ckpt"], outputs=["MODEL", "CLIP"])
    drawing.node(2, "Reroute", inputs=[("", "*", 1)], outputs=["*"])
    drawing.node(3, "SetNode", ["wire"], inputs=[("CLIP", "CLIP", 2)], outputs=["CLIP"])
    drawing.node(4, "GetNode", ["wire"], outputs=["CLIP"])
    drawing.node(5, "Encode", ["x"], inputs=[("clip", "CLIP", 3)])
    drawing.node(6, "Note", ["remember"])
    for link in ((1, 1, 1, 2), (2, 2, 0, 3), (3, 4, 0, 5)):
        drawing.link(*link)
    converted = inputs_of(drawing, registry, folders)
    assert set(converted) == {"1", "5"}
    assert converted["5"]["clip"] == ["1", 1]


def test_a_reroute_before_a_bypassed_node_carries_the_final_type(registry: Registry, folders: Folders) -> None:
    drawing = lora_chain(4)
    drawing.node(5, "Reroute", inputs=[("", "*", 3)], outputs=["*"])
    drawing.links[2] = [3, 2, 1, 5, 0, "CLIP"]
    drawing.nodes[2]["inputs"][0]["link"] = 6
    drawing.link(6, 5, 0, 3)
    assert inputs_of(drawing, registry, folders)["3"]["clip"] == ["1", 1]


def test_links_that_lead_in_a_circle_end(registry: Registry, folders: Folders) -> None:
    drawing = Drawing()
    drawing.node(1, "Reroute", inputs=[("", "*", 1)], outputs=["*"])
    drawing.node(2, "Save", ["p"], inputs=[("images", "*", 2)])
    drawing.link(1, 1, 0, 1)
    drawing.link(2, 1, 0, 2)
    assert inputs_of(drawing, registry, folders) == {"2": {"filename_prefix": "p"}}


def encoder_definition(promoted: bool = True) -> dict[str, Any]:
    inner = Drawing()
    inner.node(
        1,
        "Encode",
        ["inner text"],
        inputs=[("clip", "CLIP", 1), *([("text", "STRING", 2, "text")] if promoted else [])],
        outputs=["CONDITIONING"],
    )
    inner.node(9, "Sample", SAMPLE_VALUES, inputs=[("positive", "CONDITIONING", 3)], outputs=["LATENT"])
    inner.link(1, -10, 0, 1)
    if promoted:
        inner.link(2, -10, 1, 1, 1)
    inner.link(3, 1, 0, 9)
    inner.link(4, 1, 0, -20, 0)
    inner.link(5, -10, 0, -20, 1)
    return inner.define("inner-uuid", [("clip", "CLIP"), ("text", "STRING")], [("CONDITIONING", "CONDITIONING"), ("CLIP", "CLIP")])


def outer(values: Any, mode: int = 0, **more: Any) -> Drawing:
    drawing = Drawing()
    drawing.definitions.append(encoder_definition())
    drawing.node(1, "Loader", ["a.ckpt"], outputs=["MODEL", "CLIP"])
    drawing.node(2, "inner-uuid", values, mode=mode, inputs=[("clip", "CLIP", 1)], outputs=["CONDITIONING", "CLIP"], **more)
    drawing.node(3, "Sample", SAMPLE_VALUES, inputs=[("positive", "CONDITIONING", 2)])
    drawing.node(4, "Encode", ["outside"], inputs=[("clip", "CLIP", 3)])
    for link in ((1, 1, 1, 2, 0), (2, 2, 0, 3, 0), (3, 2, 1, 4, 0)):
        drawing.link(*link)
    return drawing


def test_a_subgraph_is_laid_open_with_the_values_of_its_instance(registry: Registry, folders: Folders) -> None:
    converted = inputs_of(outer(["from the instance"]), registry, folders)
    assert set(converted) == {"1", "2:1", "2:9", "3", "4"}
    assert converted["2:1"] == {"text": "from the instance", "clip": ["1", 1]}
    assert converted["2:9"]["positive"] == ["2:1", 0]
    assert converted["3"]["positive"] == ["2:1", 0]
    assert converted["4"]["clip"] == ["1", 1]  # straight through the subgraph


@pytest.mark.parametrize(
    ("values", "more"),
    [
        ([], {}),
        (None, {}),
        ([], {"properties": {"proxyWidgets": [["1", "text"]]}}),
        ([None, "$"], {"properties": {"proxyWidgets": '[["-1", "text"], ["9", "$$preview"]]'}}),
    ],
)
def test_without_a_value_on_the_instance_the_inner_node_keeps_its_own(
    values: Any, more: dict[str, Any], registry: Registry, folders: Folders
) -> None:
    assert inputs_of(outer(values, **more), registry, folders)["2:1"]["text"] == "inner text"


@pytest.mark.parametrize("values", [["new"], [None, "new"]])
def test_proxy_widgets_say_which_values_are_the_instances_own(values: list[Any], registry: Registry, folders: Folders) -> None:
    drawing = outer(values, properties={"proxyWidgets": [["9", "steps"], ["-1", "text"]]})
    assert inputs_of(drawing, registry, folders)["2:1"]["text"] == "new"


def test_a_bypassed_subgraph_passes_types_through_and_its_nodes_do_not_run(registry: Registry, folders: Folders) -> None:
    converted = inputs_of(outer(["x"], mode=4), registry, folders)
    assert set(converted) == {"1", "3", "4"}
    assert converted["4"]["clip"] == ["1", 1]
    assert "positive" not in converted["3"]


def test_subgraphs_nest_and_two_instances_keep_apart(registry: Registry, folders: Folders) -> None:
    middle = Drawing()
    middle.node(5, "inner-uuid", ["unused"], inputs=[("clip", "CLIP", 1), ("text", "STRING", 2, "text")], outputs=["CONDITIONING", "CLIP"])
    middle.link(1, -10, 0, 5, 0)
    middle.link(2, -10, 1, 5, 1)
    middle.link(3, 5, 0, -20, 0)
    drawing = Drawing()
    drawing.definitions += [middle.define("middle", [("clip", "CLIP"), ("text", "STRING")], [("c", "CONDITIONING")]), encoder_definition()]
    drawing.node(1, "Loader", ["a.ckpt"], outputs=["MODEL", "CLIP"])
    for id, text in ((2, "first"), (3, "second")):
        drawing.node(id, "middle", [text], inputs=[("clip", "CLIP", id)], outputs=["CONDITIONING"])
        drawing.link(id, 1, 1, id)
    converted = inputs_of(drawing, registry, folders)
    assert converted["2:5:1"] == {"text": "first", "clip": ["1", 1]}
    assert converted["3:5:1"] == {"text": "second", "clip": ["1", 1]}


def test_a_subgraph_inside_itself_is_a_problem(registry: Registry, folders: Folders) -> None:
    inner = Drawing()
    inner.node(1, "loop", [])
    drawing = Drawing()
    drawing.definitions.append(inner.define("loop", [], []))
    drawing.node(1, "loop", [])
    (problem,) = to_api(drawing.file(), registry, folders).problems
    assert (problem.type, problem.node_id) == ("recursive_subgraph", "1:1")


def test_an_unknown_node_is_kept_and_named(registry: Registry, folders: Folders) -> None:
    drawing = Drawing()
    drawing.node(1, "Loader", ["a.ckpt"], outputs=["MODEL", "CLIP"])
    drawing.node(2, "Exotic 🌈 (pack)", {"level": [1, 2]}, inputs=[("model", "MODEL", 1)], properties={"cnr_id": "exotic-pack"})
    drawing.link(1, 1, 0, 2)
    conversion = to_api(drawing.file(), registry, folders)
    assert conversion.graph["2"]["class_type"] == "Exotic 🌈 (pack)"
    assert conversion.graph["2"]["inputs"] == {"level": {"__value__": [1, 2]}, "model": ["1", 0]}
    (problem,) = conversion.problems
    assert problem.node_id == "2" and "Exotic 🌈 (pack)" in problem.message and "exotic-pack" in problem.message


def test_texts_with_choices_are_decided_by_the_seed(registry: Registry, folders: Folders) -> None:
    drawing = Drawing()
    drawing.node(1, "Encode", [r"a {red|{dark|light} blue} cat \{kept\} // not this" + "\n/* nor\nthis */on (a:1.2) mat"])
    texts = {inputs_of(drawing, registry, folders, seed=seed)["1"]["text"] for seed in range(40)}
    tail = " cat {kept} \non (a:1.2) mat"
    assert texts == {f"a {colour}{tail}" for colour in ("red", "dark blue", "light blue")}
    assert inputs_of(drawing, registry, folders, seed=3) == inputs_of(drawing, registry, folders, seed=3)


def test_prefixes_name_other_widgets_and_the_date(registry: Registry, folders: Folders) -> None:
    drawing = Drawing()
    drawing.node(1, "Sample", SAMPLE_VALUES, title="My sampler")
    drawing.node(2, "Save", ["%date:yyyy-MM-dd%/%My sampler.seed%_%Sample.sampler_name%_%width%_%Nobody.x%"])
    text = inputs_of(drawing, registry, folders, now=datetime(2026, 3, 4))["2"]["filename_prefix"]
    assert text == "2026-03-04/7_%Sample.sampler_name%_%width%_%Nobody.x%"
    drawing.nodes[0]["properties"] = {"Node name for S&R": "Sample"}
    text = inputs_of(drawing, registry, folders, now=datetime(2026, 3, 4))["2"]["filename_prefix"]
    assert text == "2026-03-04/7_heun_%width%_%Nobody.x%"


def test_old_names_are_renamed(registry: Registry, folders: Folders) -> None:
    drawing = Drawing()
    for id, name in enumerate(("T2IAdapterLoader", "ConditioningAverage ", "SDV_img2vid_Conditioning")):
        drawing.node(id, name)
    assert [entry["class_type"] for entry in to_api(drawing.file(), registry, folders).graph.values()] == [
        "ControlNetLoader", "ConditioningAverage", "SVD_img2vid_Conditioning",
    ]  # fmt: skip


def test_schema_one_files_have_links_as_objects(registry: Registry, folders: Folders) -> None:
    drawing = lora_chain(0)
    file = drawing.file() | {"version": 1, "state": {"lastNodeId": 4}}
    keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    file["links"] = [dict(zip(keys, link, strict=True)) for link in drawing.links]
    assert to_api(file, registry, folders).graph == to_api(drawing.file(), registry, folders).graph


def test_wires_drawn_by_broadcast_nodes_are_followed(registry: Registry, folders: Folders) -> None:
    drawing = Drawing()
    drawing.node(1, "Loader", ["a.ckpt"], outputs=["MODEL", "CLIP"])
    drawing.node(2, "Encode", ["x"], inputs=[("clip", "CLIP", None)])
    file = drawing.file() | {
        "extra": {"ue_links": [{"downstream": 2, "downstream_slot": 0, "upstream": "1", "upstream_slot": 1, "type": "CLIP"}]}
    }
    assert to_api(file, registry, folders).graph["2"]["inputs"]["clip"] == ["1", 1]


@pytest.mark.parametrize("raw", [None, 3, [], {"nodes": 3}, {"nodes": [{"id": 1}]}, {"nodes": [3]}])
def test_what_is_no_workflow_is_refused(raw: Any, registry: Registry, folders: Folders) -> None:
    with pytest.raises(GraphError):
        to_api(raw, registry, folders)


def test_drawn_nodes_stand_right_of_what_they_need_and_do_not_overlap(registry: Registry) -> None:
    graph = {
        "1": {"class_type": "Loader", "inputs": {"name": "a.ckpt"}},
        "2": {"class_type": "Encode", "inputs": {"text": "x", "clip": ["1", 1]}},
        "3": {"class_type": "Encode", "inputs": {"text": "y", "clip": ["1", 1]}},
        "4": {"class_type": "Sample", "inputs": {"model": ["1", 0], "positive": ["2", 0], "seed": 1, "steps": 2, "sampler_name": "euler"}},
    }
    nodes = {str(node["id"]): node for node in from_api(graph, registry)["nodes"]}
    assert nodes["1"]["pos"][0] < nodes["2"]["pos"][0] == nodes["3"]["pos"][0] < nodes["4"]["pos"][0]
    assert nodes["2"]["pos"][1] + nodes["2"]["size"][1] < nodes["3"]["pos"][1]


def test_the_format_of_a_file_is_told_by_its_form() -> None:
    assert detect({"1": {"class_type": "A", "inputs": {}}}) == "api"
    assert detect({"nodes": [], "links": []}) == "editor"
    with pytest.raises(GraphError):
        detect({"hello": 3})


def test_a_chain_of_ten_thousand_nodes_is_converted(registry: Registry, folders: Folders) -> None:
    graph: dict[str, Any] = {"0": {"class_type": "Loader", "inputs": {"name": "a.ckpt"}}}
    for number in range(1, 10_000):
        graph[str(number)] = {"class_type": "Lora", "inputs": {"strength": 1.0, "model": [str(number - 1), 0]}}
    assert to_api(from_api(graph, registry), registry, folders).graph["9999"]["inputs"] == graph["9999"]["inputs"]
