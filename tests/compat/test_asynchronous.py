"""Nodes that await: beside each other, in lists, in graphs of their own, with errors.

Times are told with generous bounds; that nodes overlap is shown by less than the sum of what they wait.
"""

from __future__ import annotations

import pytest

from marquetry.engine.expansion import GraphBuilder
from tests.compat.client import Client


def test_nodes_that_wait_do_so_together(client: Client, graph: GraphBuilder, salt: str) -> None:
    flat = graph.node("CompatFlat", level=0.0, size=512, salt=salt)
    waits = [graph.node("CompatWait", value=flat.out(0), seconds=seconds) for seconds in (1.9, 2.1, 2.0)]
    saved = [graph.node("SaveImage", images=wait.out(0)) for wait in waits]
    outcome = client.run(graph)
    assert 2.1 <= outcome.seconds < 5.5
    assert [outcome.pictures(node) for node in saved] == [[(0, 0)]] * 3
    assert all(outcome.did_run(wait) for wait in waits)


def test_a_plain_node_works_while_others_wait(client: Client, graph: GraphBuilder, salt: str) -> None:
    whole = graph.node("CompatWhole", value=1, salt=salt)
    wait, held = (graph.node(kind, value=whole.out(0), seconds=1.5) for kind in ("CompatWait", "CompatHoldUp"))
    for node in (wait, held):
        graph.node("CompatShow", value=node.out(0), salt=node.id)
    assert 1.5 <= client.run(graph).seconds < 2.8


def test_nodes_of_a_grown_graph_wait_together(client: Client, graph: GraphBuilder, salt: str) -> None:
    black, white = (graph.node("CompatFlat", level=end, salt=salt) for end in (0.0, 1.0))
    many = graph.node("CompatWaitForMany", first=black.out(0), second=white.out(0), count=6, seconds=1.0)
    saved = graph.node("SaveImage", images=many.out(0))
    outcome = client.run(graph)
    assert 1.0 <= outcome.seconds < 4.0
    assert outcome.did_run(many)
    assert outcome.pictures(saved) == [(170, 170)]  # four of six are white


def test_calls_over_a_list_wait_together(client: Client, graph: GraphBuilder) -> None:
    sources = {f"value{number}": graph.node("CompatWhole", value=number).out(0) for number in range(1, 6)}
    wait = graph.node("CompatWait", value=graph.node("CompatSeveral", None, **sources).out(0), seconds=0.8)
    shown = graph.node("CompatShow", value=wait.out(0))
    outcome = client.run(graph)
    assert 0.8 <= outcome.seconds < 3.0
    assert outcome.shown(shown) == [1, 2, 3, 4, 5]


def test_what_is_not_asked_for_is_not_waited_for(client: Client, graph: GraphBuilder, salt: str) -> None:
    black, white = (graph.node("CompatFlat", level=end, salt=salt) for end in (0.0, 1.0))
    quick, slow = graph.node("CompatWait", value=black.out(0), seconds=0.3), graph.node("CompatWait", value=white.out(0), seconds=30.0)
    mix = graph.node("CompatLazyMix", mask=graph.node("CompatFlatMask", level=0.0).out(0), first=quick.out(0), second=slow.out(0))
    graph.node("SaveImage", images=mix.out(0))
    outcome = client.run(graph)
    assert outcome.seconds < 10
    assert (outcome.did_run(quick), outcome.did_run(slow)) == (True, False)


def test_what_was_waited_for_once_is_there_the_second_time(client: Client, graph: GraphBuilder, salt: str) -> None:
    wait = graph.node("CompatWait", value=graph.node("CompatFlat", level=0.5, salt=salt).out(0), seconds=1.0)
    saved = graph.node("SaveImage", images=wait.out(0))
    first, second = client.run(graph), client.run(graph)
    assert first.did_run(wait) and second.ran == []
    assert second.seconds < 0.7
    assert second.pictures(saved) == [(127, 127)]


@pytest.mark.parametrize("kind", ["CompatAsksFirst", "CompatAsksAndWaits"])
@pytest.mark.parametrize(("second", "shows"), [(False, "one"), (True, "other")])
def test_lazy_inputs_may_be_asked_for_after_awaiting(
    client: Client, graph: GraphBuilder, salt: str, kind: str, second: bool, shows: str
) -> None:
    one, other = (graph.node("CompatPair", a=salt, b=name) for name in ("one", "other"))
    asks = graph.node(kind, second=second, one=one.out(0), other=other.out(0))
    shown = graph.node("CompatShow", value=asks.out(0))
    outcome = client.run(graph)
    assert outcome.shown(shown) == [f"{salt}:{shows}"]
    assert outcome.did_run(one) is not second
    assert outcome.did_run(other) is second


@pytest.mark.parametrize("kind", ["CompatAsksFirst", "CompatAsksAndWaits"])
def test_constants_of_lazy_inputs_are_there_at_once(client: Client, graph: GraphBuilder, kind: str) -> None:
    shown = graph.node("CompatShow", value=graph.node(kind, second=True, one="one", other="other").out(0))
    assert client.run(graph).shown(shown) == ["other"]


def test_asking_for_lazy_inputs_keeps_nobody_from_waiting(client: Client, graph: GraphBuilder, salt: str) -> None:
    value = graph.node("CompatWhole", value=1, salt=salt).out(0)
    asks = graph.node("CompatAsksAndWaits", second=False, one=value, other=value, seconds=1.0)  # asks twice, then waits once
    waits = [graph.node("CompatWait", value=value, seconds=3.0) for _ in range(3)]
    for node in (asks, *waits):
        graph.node("CompatShow", value=node.out(0), salt=node.id)
    assert 3.0 <= client.run(graph).seconds < 4.5


def test_an_error_after_waiting_names_its_node_and_the_next_prompt_runs(client: Client, graph: GraphBuilder, salt: str) -> None:
    failing = graph.node("CompatFails", value=graph.node("CompatWhole", value=1, salt=salt).out(0), after=0.1)
    graph.node("CompatShow", value=failing.out(0))
    error = client.fail(graph)
    assert (error["node_id"], error["exception_type"]) == (failing.id, "ArithmeticError")
    again = GraphBuilder(f"{graph.prefix}again.")
    wait = again.node("CompatWait", value=again.node("CompatWhole", value=2, salt=salt).out(0), seconds=0.1)
    again.node("CompatShow", value=wait.out(0))
    assert client.run(again).did_run(wait)


def test_a_plain_error_ends_the_prompt_while_others_still_wait(client: Client, graph: GraphBuilder, salt: str) -> None:
    value = graph.node("CompatWhole", value=1, salt=salt).out(0)
    graph.node("CompatShow", value=graph.node("CompatWait", value=value, seconds=30.0).out(0))
    failing = graph.node("CompatFailsAtOnce", value=value)
    graph.node("CompatShow", value=failing.out(0))
    error = client.fail(graph)
    assert error["node_id"] == failing.id


def test_giving_up_is_an_error_like_others(client: Client, graph: GraphBuilder, salt: str) -> None:
    gives_up = graph.node("CompatGivesUp", value=graph.node("CompatWhole", value=1, salt=salt).out(0))
    graph.node("CompatShow", value=gives_up.out(0))
    error = client.fail(graph)
    assert (error["node_id"], error["exception_type"]) == (gives_up.id, "TimeoutError")


def test_semaphores_of_a_class_bound_all_its_nodes(client: Client, graph: GraphBuilder, salt: str) -> None:
    holders = [graph.node("CompatScarce", name=f"{salt}{number}", seconds=0.05) for number in range(6)]
    shows = [graph.node("CompatShow", value=holder.out(0), salt=str(number)) for number, holder in enumerate(holders)]
    outcome = client.run(graph)
    assert max(outcome.shown(show)[0] for show in shows) == 2
    assert client.run(graph).ran == []


def test_blocked_values_drop_out_of_what_waits(client: Client, graph: GraphBuilder, salt: str) -> None:
    pictures = [graph.node("CompatFlat", level=level, salt=salt) for level in (0.0, 1.0, 0.5)]
    waits = {f"value{n}": graph.node("CompatWait", value=picture.out(0), seconds=0.1).out(0) for n, picture in enumerate(pictures, 1)}
    numbers = {f"value{n}": graph.node("CompatWhole", value=n).out(0) for n in range(1, 4)}
    blocked = graph.node("CompatEquals", a=graph.node("CompatSeveral", None, **numbers).out(0), b=2)
    gate = graph.node("CompatGate", value=graph.node("CompatSeveral", None, **waits).out(0), block=blocked.out(0))
    later = graph.node("CompatWait", value=gate.out(0), seconds=0.1)
    previewed = graph.node("PreviewImage", images=later.out(0))
    assert client.run(graph).pictures(previewed) == [(0, 0), (127, 127)]


def test_batches_may_be_awaited_one_by_one(client: Client, graph: GraphBuilder, salt: str) -> None:
    inverted = graph.node("CompatInvertsOneByOne", pictures=graph.node("CompatFlat", level=0.25, batch=3, salt=salt).out(0))
    saved = graph.node("SaveImage", images=inverted.out(0))
    assert client.run(graph).pictures(saved) == [(191, 191)] * 3


def test_a_node_may_grow_after_it_has_awaited(client: Client, graph: GraphBuilder, salt: str) -> None:
    grown = graph.node("CompatGrowsLater", value=graph.node("CompatWhole", value=6, salt=salt).out(0))
    shown = graph.node("CompatShow", value=grown.out(0))
    first, second = client.run(graph), client.run(graph)
    assert first.shown(shown) == second.shown(shown) == [6]
    inner = {f"{grown.id}.0.0.1", f"{grown.id}.0.0.2"}
    assert inner < set(first.ran)
    assert second.ran == [grown.id, shown.id]  # the nodes inside are the same as before


@pytest.mark.parametrize("kind", ["CompatReports", "CompatReportsPlainly"])
def test_progress_of_the_versioned_api_reaches_the_client(client: Client, graph: GraphBuilder, salt: str, kind: str) -> None:
    reports = graph.node(kind, seconds=0.4, salt=salt)
    graph.node("CompatShow", value=reports.out(0), salt=kind)
    outcome = client.run(graph)
    told = [(data["node"], data["value"], data["max"]) for heard, data in outcome.messages if heard == "progress"]
    assert told[-1] == (reports.id, 4, 4)
    assert [value for _, value, _ in told] == sorted(value for _, value, _ in told)
    states = [
        data["nodes"][reports.id]["state"] for heard, data in outcome.messages if heard == "progress_state" and reports.id in data["nodes"]
    ]
    assert (states[0], states[-1]) == ("running", "finished")
