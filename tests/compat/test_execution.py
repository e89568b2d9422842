"""What runs, what is given to it, and what is made of it."""

from __future__ import annotations

import pytest

from marquetry.engine.expansion import GraphBuilder
from tests.compat.client import Client


@pytest.mark.parametrize(("level", "byte"), [(0.0, 0), (0.1, 25), (0.25, 63), (0.3, 76), (0.5, 127), (2 / 3, 170), (1.0, 255)])
def test_saved_levels_are_cut_off_and_not_rounded(client: Client, graph: GraphBuilder, level: float, byte: int) -> None:
    flat = graph.node("CompatFlat", level=level, size=16)
    saved, previewed = graph.node("SaveImage", images=flat.out(0)), graph.node("PreviewImage", images=flat.out(0))
    outcome = client.run(graph)
    assert outcome.pictures(saved) == outcome.pictures(previewed) == [(byte, byte)]
    (file,) = outcome.shown(saved, "images")
    assert file == {"filename": f"{client.prefix}_00001_.png", "subfolder": "", "type": "output"}
    assert [shown["type"] for shown in outcome.shown(previewed, "images")] == ["temp"]


def test_only_what_output_nodes_need_runs(client: Client, graph: GraphBuilder, salt: str) -> None:
    needed = graph.node("CompatFlat", level=0.5, salt=salt)
    idle = graph.node("CompatFlat", level=0.4, salt=salt)
    idle_too = graph.node("CompatMean", picture1=idle.out(0))
    output = graph.node("CompatShow", value=needed.out(0))
    assert client.run(graph).ran == [needed.id, output.id]
    assert idle_too.id not in client.run(graph).cached


@pytest.mark.parametrize(("level", "byte", "wanted"), [(0.0, 0, "first"), (1.0, 255, "second"), (0.5, 127, "both")])
def test_lazy_inputs_run_only_when_they_are_asked_for(
    client: Client, graph: GraphBuilder, salt: str, level: float, byte: int, wanted: str
) -> None:
    black, white = (graph.node("CompatFlat", level=end, salt=salt) for end in (0.0, 1.0))
    mask = graph.node("CompatFlatMask", level=level, salt=salt)
    mix = graph.node("CompatLazyMix", mask=mask.out(0), first=black.out(0), second=white.out(0))
    saved = graph.node("SaveImage", images=mix.out(0))
    outcome = client.run(graph)
    assert outcome.pictures(saved) == [(byte, byte)]
    assert outcome.did_run(mask) and outcome.did_run(mix)
    assert (outcome.did_run(black), outcome.did_run(white)) == (wanted != "second", wanted != "first")


def test_every_linked_input_is_given_declared_or_not(client: Client, graph: GraphBuilder, salt: str) -> None:
    black, white = (graph.node("CompatFlat", level=end, salt=salt) for end in (0.0, 1.0))
    mean = graph.node("CompatMean", picture1=black.out(0), picture2=white.out(0), picture3=black.out(0), picture4=black.out(0))
    saved = graph.node("SaveImage", images=mean.out(0))
    assert client.run(graph).pictures(saved) == [(63, 63)]


def test_undeclared_constants_are_given_only_where_the_dict_of_inputs_claims_them(client: Client, graph: GraphBuilder) -> None:
    source = graph.node("CompatWhole", value=1)
    names = graph.node("CompatNames", value=source.out(0), linked=source.out(0), more7=7, width=64, other=1)
    assert client.run(graph).shown(names, "names") == ["linked", "more7", "value", "width"]


def test_hidden_values_are_those_of_the_node_and_its_prompt(client: Client, graph: GraphBuilder, salt: str) -> None:
    bare = graph.node("CompatHidden", salt=salt)
    given = graph.node("CompatHidden", salt=salt, own="given")
    outcome = client.run(graph, extra_data={"extra_pnginfo": {"workflow": {"id": "editor's"}}})
    assert outcome.shown(bare, "me") == [bare.id]
    assert outcome.shown(bare, "ids") == sorted([bare.id, given.id])
    assert outcome.shown(bare, "extra") == [{"workflow": {"id": "editor's"}}]
    assert (outcome.shown(bare, "own"), outcome.shown(given, "own")) == (["not given"], ["given"])


def test_a_raw_link_is_the_pair_of_node_and_slot(client: Client, graph: GraphBuilder, salt: str) -> None:
    source = graph.node("CompatWhole", value=3, salt=salt)
    raw = graph.node("CompatRawLink", source=source.out(0))
    assert client.run(graph).shown(raw, "link") == [source.id, 0]


def test_one_result_feeds_several_output_nodes(client: Client, graph: GraphBuilder, salt: str) -> None:
    flat = graph.node("CompatFlat", level=0.5, salt=salt)
    equal = [graph.node("SaveImage", images=flat.out(0)) for _ in range(2)]
    previews = [graph.node("PreviewImage", images=flat.out(0)) for _ in range(2)]
    outcome = client.run(graph)
    assert [outcome.pictures(node) for node in (*equal, *previews)] == [[(127, 127)]] * 4


def test_state_on_an_object_outlives_the_prompt(client: Client, graph: GraphBuilder, salt: str) -> None:
    tally, other = graph.node("CompatTally", salt=salt), graph.node("CompatTally", salt=salt)
    first, second = graph.node("CompatShow", value=tally.out(0)), graph.node("CompatShow", value=other.out(0), salt="other")
    seen = [(outcome.shown(first), outcome.shown(second)) for outcome in (client.run(graph), client.run(graph))]
    assert seen == [([1], [1]), ([2], [2])]


def test_an_error_names_the_node_and_the_next_prompt_runs(client: Client, graph: GraphBuilder, salt: str) -> None:
    small, large = graph.node("CompatFlat", level=0.2, size=16, salt=salt), graph.node("CompatFlat", level=0.2, size=24, salt=salt)
    mean = graph.node("CompatMean", picture1=small.out(0), picture2=large.out(0))
    graph.node("SaveImage", images=mean.out(0))
    error = client.fail(graph)
    assert (error["node_id"], error["node_type"], error["exception_type"]) == (mean.id, "CompatMean", "RuntimeError")
    assert set(error["executed"]) == {small.id, large.id}
    assert error["exception_message"] and error["traceback"] and set(error["current_inputs"]) == {"picture1", "picture2"}
    again = GraphBuilder("again.")
    shown = again.node("CompatShow", value=again.node("CompatWhole", value=5, salt=salt).out(0))
    assert client.run(again).shown(shown) == [5]
    status = client.entry(error["prompt_id"])["status"]
    assert (status["status_str"], status["completed"]) == ("error", False)
    assert [kind for kind, _ in status["messages"]] == ["execution_start", "execution_cached", "execution_error"]


def test_a_pack_of_one_file_loads_whatever_its_name(client: Client, graph: GraphBuilder) -> None:
    alone = graph.node("CompatAlone", text="loud")
    assert client.run(graph).shown(alone, "text") == ["LOUD"]


def test_packs_describe_their_nodes(client: Client) -> None:
    info = client.request("/object_info/CompatLazyMix")["CompatLazyMix"]
    assert info["input"]["required"]["first"] == ["IMAGE", {"lazy": True}]
    assert info["display_name"] == "LazyMix (testing)"
    assert info["python_module"] == "custom_nodes.marquetry-testing"
    assert (info["output"], info["output_node"]) == (["IMAGE"], False)
