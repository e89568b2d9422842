"""Prompts of which only some output nodes are wanted."""

from __future__ import annotations

import pytest

from marquetry.engine.expansion import GraphBuilder
from tests.compat.client import Client, Refused


def test_only_the_chosen_output_nodes_run(client: Client, graph: GraphBuilder, salt: str) -> None:
    flats = [graph.node("CompatFlat", level=level, salt=salt) for level in (0.0, 0.5, 1.0)]
    saved = [graph.node("SaveImage", images=flat.out(0)) for flat in flats]
    outcome = client.run(graph, [saved[0].id, saved[2].id])
    assert set(outcome.ran) == {flats[0].id, flats[2].id, saved[0].id, saved[2].id}
    assert [outcome.pictures(node) for node in saved] == [[(0, 0)], [], [(255, 255)]]


def test_an_output_node_that_a_chosen_one_needs_runs_too(client: Client, graph: GraphBuilder, salt: str) -> None:
    flat, other = (graph.node("CompatFlat", level=level, salt=salt) for level in (0.25, 0.5))
    first = graph.node("CompatScaleAndShow", picture=flat.out(0), by=2.0)
    second = graph.node("CompatScaleAndShow", picture=first.out(0), by=1.5)
    wanted, unwanted, unrelated = (graph.node("SaveImage", images=node.out(0)) for node in (second, first, other))
    outcome = client.run(graph, [wanted.id])
    assert all(outcome.was_needed(node) for node in (flat, first, second, wanted))
    assert not any(outcome.was_needed(node) for node in (other, unwanted, unrelated))
    assert outcome.pictures(wanted) == [(191, 191)]
    assert outcome.shown(first, "by") == [2.0]


def test_lazy_inputs_stay_lazy(client: Client, graph: GraphBuilder, salt: str) -> None:
    flats = [graph.node("CompatFlat", level=level, salt=salt) for level in (0.0, 0.5, 1.0)]
    masks = [graph.node("CompatFlatMask", level=level, salt=salt) for level in (0.0, 0.5)]
    mixes = [
        graph.node("CompatLazyMix", mask=mask.out(0), first=first.out(0), second=second.out(0))
        for mask, first, second in zip(masks, flats[:2], flats[1:], strict=True)
    ]
    saved = [graph.node("SaveImage", images=mix.out(0)) for mix in mixes]
    outcome = client.run(graph, [saved[0].id])
    assert set(outcome.ran) == {flats[0].id, masks[0].id, mixes[0].id, saved[0].id}


@pytest.mark.parametrize("targets", [[], ["nobody"]])
def test_no_chosen_output_node_is_an_error(client: Client, graph: GraphBuilder, targets: list[str]) -> None:
    graph.node("SaveImage", images=graph.node("CompatFlat", level=0.5).out(0))
    with pytest.raises(Refused) as caught:
        client.run(graph, targets)
    assert (caught.value.status, caught.value.body["error"]["type"]) == (400, "prompt_no_outputs")


def test_a_bad_output_that_is_not_chosen_does_not_matter(client: Client, graph: GraphBuilder, salt: str) -> None:
    good = graph.node("SaveImage", images=graph.node("CompatFlat", level=0.5, salt=salt).out(0))
    graph.node("SaveImage", images=graph.node("CompatFlat", level=7.0, salt=salt).out(0))
    answer = client.queue(client.prompt(graph), [good.id])
    assert answer["node_errors"] == {}
    assert client.follow(answer["prompt_id"]).pictures(good) == [(127, 127)]
