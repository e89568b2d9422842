"""What is not run again, and what is."""

from __future__ import annotations

import pytest

from marquetry.engine.expansion import GraphBuilder, GraphNode
from tests.compat.client import Client


def mixed(graph: GraphBuilder, salt: str) -> tuple[GraphNode, GraphNode, GraphNode, GraphNode, GraphNode]:
    black, white = (graph.node("CompatFlat", level=end, salt=salt) for end in (0.0, 1.0))
    mask = graph.node("CompatFlatMask", level=0.5, salt=salt)
    mix = graph.node("CompatLazyMix", mask=mask.out(0), first=black.out(0), second=white.out(0))
    return black, white, mask, mix, graph.node("SaveImage", images=mix.out(0))


def test_an_equal_prompt_runs_nothing_and_shows_everything(client: Client, graph: GraphBuilder, salt: str) -> None:
    *_, saved = mixed(graph, salt)
    first, second = client.run(graph), client.run(graph)
    assert set(first.ran) == set(graph.nodes)
    assert second.ran == []
    assert saved.id in second.cached
    assert second.history["outputs"] == first.history["outputs"]
    assert ("executed", second.prompt_id) in [(kind, data["prompt_id"]) for kind, data in second.messages]


def test_a_changed_constant_runs_what_follows_from_it(client: Client, graph: GraphBuilder, salt: str) -> None:
    black, white, mask, mix, saved = mixed(graph, salt)
    client.run(graph)
    mask.set_input("level", 0.4)
    second = client.run(graph)
    assert second.ran == [mask.id, mix.id, saved.id]
    assert second.cached == {black.id, white.id}
    assert second.pictures(saved) == [(102, 102)]


def test_ids_are_no_part_of_what_is_remembered(client: Client, graph: GraphBuilder, salt: str) -> None:
    other = GraphBuilder("other.")
    for builder in (graph, other):
        builder.node("CompatShow", "show", value=builder.node("CompatWhole", value=1, salt=salt).out(0))
    client.run(graph)
    second = client.run(other)
    assert second.ran == []
    assert second.shown("other.show") == [1]


def test_nodes_that_know_their_id_share_nothing_with_others(client: Client, graph: GraphBuilder, salt: str) -> None:
    other = GraphBuilder("other.")
    for builder in (graph, other):
        builder.node("CompatShow", "show", value=builder.node("CompatOwn", "own", value=salt).out(0))
    client.run(graph)
    second = client.run(other)
    assert second.ran == ["other.own", "other.show"]
    assert second.shown("other.show") == [f"{salt} of other.own"]


def test_nodes_that_are_not_idempotent_share_nothing_within_a_prompt(client: Client, graph: GraphBuilder, salt: str) -> None:
    draws = [graph.node("CompatUnrepeatable", salt=salt) for _ in range(2)]
    shows = [graph.node("CompatShow", value=draw.out(0)) for draw in draws]
    outcome = client.run(graph)
    assert outcome.shown(shows[0]) != outcome.shown(shows[1])
    assert client.run(graph).ran == []


@pytest.mark.parametrize("kind", ["CompatChanging", "CompatAwaitedCheck"])
def test_a_node_that_is_never_the_same_always_runs(client: Client, graph: GraphBuilder, salt: str, kind: str) -> None:
    saved = graph.node("SaveImage")  # before what it needs: the order of nodes says nothing
    changing = graph.node(kind, always=False)
    flat = graph.node("CompatFlat", level=0.5, salt=salt)
    saved.set_input("images", changing.out(0))
    changing.set_input("value", flat.out(0))
    same = [client.run(graph).did_run(changing) for _ in range(2)]
    changing.set_input("always", True)
    runs = [client.run(graph) for _ in range(2)]
    assert same == [True, False]
    assert [(run.did_run(changing), run.did_run(saved), run.did_run(flat)) for run in runs] == [(True, True, False)] * 2


def test_a_check_that_fails_counts_as_a_change(client: Client, graph: GraphBuilder, salt: str) -> None:
    checked = graph.node("CompatFailingCheck", value=graph.node("CompatWhole", value=1, salt=salt).out(0))
    shown = graph.node("CompatShow", value=checked.out(0))
    for _ in range(2):
        outcome = client.run(graph)
        assert outcome.did_run(checked) and outcome.shown(shown) == [1]


def test_a_check_sees_constants_only(client: Client, graph: GraphBuilder, salt: str) -> None:
    checked = graph.node("CompatAskedWithConstants", value=graph.node("CompatFlat", level=0.5, salt=salt).out(0), by=0.5)
    saved = graph.node("SaveImage", images=checked.out(0))
    for ran in (True, False):
        outcome = client.run(graph)
        assert outcome.did_run(checked) is ran
        assert outcome.pictures(saved) == [(63, 63)]


def test_a_check_is_asked_once_for_a_node_and_prompt(client: Client, graph: GraphBuilder, salt: str) -> None:
    checked = graph.node("CompatOutside", value=salt)
    shows = [graph.node("CompatShow", value=checked.out(0), salt=str(number)) for number in range(3)]
    ran = [client.run(graph).did_run(checked) for _ in range(6)]
    assert ran in ([True, False] * 3, [True, *[True, False] * 2, True])  # it changes at every second question
    assert all(client.run(graph).shown(show) == [salt] for show in shows)


def test_the_nodes_of_a_cached_expansion_do_not_run_again(client: Client, graph: GraphBuilder, salt: str) -> None:
    grown = graph.node("CompatShowsInside", value=graph.node("CompatWhole", value=88, salt=salt).out(0))
    shown = graph.node("CompatShow", value=grown.out(0))
    first, second = client.run(graph), client.run(graph)
    inner = f"{grown.id}.0.0.inner"
    assert inner in first.ran and second.ran == []
    assert first.shown(shown) == second.shown(shown) == [88]
    assert second.history["outputs"] == first.history["outputs"]
    assert second.shown(inner) == [88]
