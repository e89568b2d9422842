"""What a graph means: the rules that ComfyUI's graphs and packs rely on."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from marquetry.engine.expansion import GraphBuilder
from marquetry.engine.graph import GraphLimits
from marquetry.engine.outcome import ExecutionBlocker
from tests.engine.execution.workshop import Workshop, n


def test_a_graph_runs_and_its_output_node_shows_the_result(shop: Workshop) -> None:
    ended = shop.run({"1": n("Value", value=2), "2": n("Add", a=["1", 0], b=3), "3": n("Show", value=["2", 0])})
    assert (ended.state, ended.seen("3"), sorted(ended.ran)) == ("completed", [5], ["1", "2", "3"])


def test_only_what_outputs_need_is_run(shop: Workshop) -> None:
    ended = shop.run({"1": n("Value", value=2), "idle": n("Value", value=3), "3": n("Show", value=["1", 0])})
    assert "idle" not in ended.ran


def test_partial_execution_runs_the_chosen_outputs_alone(shop: Workshop) -> None:
    graph = {"1": n("Value", value=1), "2": n("Show", value=["1", 0]), "3": n("Value", value=4), "4": n("Show", value=["3", 0])}
    assert sorted(shop.run(graph, targets=["4"]).ran) == ["3", "4"]


def test_an_equal_graph_runs_nothing_again_and_shows_the_same(shop: Workshop) -> None:
    graph = {"1": n("Value", value=2), "3": n("Show", value=["1", 0])}
    shop.run(graph)
    again = shop.run(graph)
    assert (again.ran, again.cached, again.seen("3")) == ([], ["1", "3"], [2])


def test_node_ids_are_no_part_of_a_results_identity(shop: Workshop) -> None:
    shop.run({"1": n("Value", value=2), "3": n("Show", value=["1", 0])})
    assert shop.run({"a": n("Value", value=2), "b": n("Show", value=["a", 0])}).ran == []


def test_fifty_equal_nodes_in_one_graph_run_once(shop: Workshop) -> None:
    calls: list[int] = []

    def count(value: int) -> tuple[int]:
        calls.append(value)
        return (value,)

    shop.type("Count", count, inputs={"value": "INT"}, outputs=["INT"])
    graph: dict[str, Any] = {str(i): n("Count", value=7) for i in range(50)}
    graph |= {f"s{i}": n("Show", value=[str(i), 0]) for i in range(50)}
    assert shop.run(graph).state == "completed"
    assert calls == [7]


def test_a_linked_input_is_passed_also_when_it_is_not_declared_and_a_constant_is_not(shop: Workshop) -> None:
    shop.type("Any", lambda **given: (sorted(given),), outputs=["*"], accepts_any=True)
    ended = shop.run({"1": n("Value", value=2), "2": n("Any", linked=["1", 0], constant=5), "3": n("Show", value=["2", 0])})
    assert ended.seen("3") == [["linked"]]


def test_a_node_is_called_for_each_value_of_the_longest_list_and_shorter_lists_repeat_their_last(shop: Workshop) -> None:
    shop.type("List", lambda count: (list(range(count)),), inputs={"count": "INT"}, outputs=["*"], lists=[0])
    graph = {"1": n("List", count=4), "2": n("List", count=2), "3": n("Add", a=["1", 0], b=["2", 0]), "4": n("Show", value=["3", 0])}
    assert shop.run(graph).seen("4") == [0, 2, 3, 4]


def test_a_node_that_takes_whole_lists_is_called_once(shop: Workshop) -> None:
    shop.type("List", lambda count: (list(range(count)),), inputs={"count": "INT"}, outputs=["*"], lists=[0])
    shop.type(
        "Sum", lambda values, factor: (sum(values) * factor[0],), inputs={"values": "*", "factor": "INT"}, outputs=["*"], input_is_list=True
    )
    assert shop.run({"1": n("List", count=5), "2": n("Sum", values=["1", 0], factor=3), "3": n("Show", value=["2", 0])}).seen("3") == [30]


def test_an_empty_list_is_an_error_that_names_the_input(shop: Workshop) -> None:
    shop.type("Empty", lambda: ([],), outputs=["*"], lists=[0])
    ended = shop.run({"1": n("Empty"), "2": n("Pass", value=["1", 0]), "3": n("Show", value=["2", 0])})
    assert ended.state == "failed" and "'value'" in ended.failures[0].message


def _switch(shop: Workshop) -> None:
    def needed(flag: Any, yes: Any = None, no: Any = None) -> list[str]:
        return [name for name, value in (("yes", yes), ("no", no)) if value is None and (name == "yes") == bool(flag)]

    shop.type("Switch", lambda flag, yes=None, no=None: (yes if flag else no,), inputs={"flag": "*", "yes": "*", "no": "*"}, outputs=["*"],
              lazy=["yes", "no"], lazy_status=needed)  # fmt: skip


def test_a_lazy_input_that_is_not_asked_for_is_never_made(shop: Workshop) -> None:
    _switch(shop)
    graph = {"f": n("Value", value=True), "y": n("Value", value="yes"), "n": n("Value", value="no"),
             "s": n("Switch", flag=["f", 0], yes=["y", 0], no=["n", 0]), "o": n("Show", value=["s", 0])}  # fmt: skip
    ended = shop.run(graph)
    assert ended.seen("o") == ["yes"]
    assert "n" not in ended.ran


def test_lazy_inputs_are_asked_for_over_every_value_of_a_list(shop: Workshop) -> None:
    _switch(shop)
    shop.type("Flags", lambda: ([True, False],), outputs=["*"], lists=[0])
    graph = {"f": n("Flags"), "y": n("Value", value="yes"), "n": n("Value", value="no"),
             "s": n("Switch", flag=["f", 0], yes=["y", 0], no=["n", 0]), "o": n("Show", value=["s", 0])}  # fmt: skip
    assert shop.run(graph).seen("o") == ["yes", "no"]


def test_a_node_expands_into_a_graph_whose_results_become_its_own(shop: Workshop) -> None:
    def expand(value: int) -> dict[str, Any]:
        builder = GraphBuilder()
        first = builder.node("Add", a=value, b=1)
        second = builder.node("Add", a=first.out(0), b=10)
        return {"result": (second.out(0), "plain"), "expand": builder.finalize()}

    shop.type("Grow", expand, inputs={"value": "INT"}, outputs=["*", "*"])
    graph = {"1": n("Grow", value=5), "2": n("Show", value=["1", 0]), "3": n("Show", value=["1", 1])}
    ended = shop.run(graph)
    assert (ended.seen("2"), ended.seen("3")) == ([16], ["plain"])
    assert sorted(ended.ran) == ["1", "1.0.0.1", "1.0.0.2", "2", "3"]
    assert shop.run(graph).ran == []


def test_output_nodes_inside_an_expansion_run_and_show_again_from_the_cache(shop: Workshop) -> None:
    def expand(value: int) -> dict[str, Any]:
        builder = GraphBuilder()
        builder.node("Show", "inner", value=builder.node("Add", a=value, b=1).out(0))
        return {"result": (value,), "expand": builder.finalize()}

    shop.type("Grow", expand, inputs={"value": "INT"}, outputs=["*"])
    graph = {"g": n("Grow", value=5), "2": n("Show", value=["g", 0])}
    assert shop.run(graph).seen("g.0.0.inner") == [6]
    assert shop.run({"other": n("Grow", value=5), "2": n("Show", value=["other", 0])}).ran == []


def test_calls_over_a_list_may_expand_or_not_and_keep_their_order(shop: Workshop) -> None:
    def expand(value: int) -> Any:
        if value % 2:
            return (value,)
        builder = GraphBuilder()
        return {"result": (builder.node("Add", a=value, b=100).out(0),), "expand": builder.finalize()}

    shop.type("List", lambda count: (list(range(count)),), inputs={"count": "INT"}, outputs=["*"], lists=[0])
    shop.type("Grow", expand, inputs={"value": "INT"}, outputs=["*"])
    assert shop.run({"l": n("List", count=5), "g": n("Grow", value=["l", 0]), "s": n("Show", value=["g", 0])}).seen("s") == [
        100,
        1,
        102,
        3,
        104,
    ]


def test_expansions_nest_a_thousand_deep(shop: Workshop) -> None:
    def countdown(value: int) -> Any:
        if value == 0:
            return (0,)
        builder = GraphBuilder()
        inner = builder.node("Countdown", value=value - 1)
        return {"result": (builder.node("Add", a=inner.out(0), b=1).out(0),), "expand": builder.finalize()}

    shop.type("Countdown", countdown, inputs={"value": "INT"}, outputs=["INT"])
    assert shop.run({"1": n("Countdown", value=1000), "2": n("Show", value=["1", 0])}).seen("2") == [1000]


def test_an_expansion_without_end_is_stopped_by_the_limit(tmp_path: Any) -> None:
    shop = Workshop(tmp_path, limits=GraphLimits(expansion_depth=50))

    def forever(value: int) -> dict[str, Any]:
        builder = GraphBuilder()
        return {"result": (builder.node("Forever", value=value + 1).out(0),), "expand": builder.finalize()}

    shop.type("Forever", forever, inputs={"value": "INT"}, outputs=["INT"])
    ended = shop.run({"1": n("Forever", value=0), "2": n("Show", value=["1", 0])})
    assert ended.state == "failed" and "at most 50" in ended.failures[-1].message
    shop.close()


def test_what_is_different_each_time_is_made_once_in_a_job_also_when_an_expansion_asks_for_it_later(shop: Workshop) -> None:
    made: list[int] = []

    def dice() -> tuple[int]:
        made.append(len(made))
        return (len(made),)

    def grow(value: int) -> dict[str, Any]:
        builder = GraphBuilder()
        return {"result": (builder.node("Add", a=["d", 0], b=value).out(0),), "expand": builder.finalize()}

    shop.type("Dice", dice, outputs=["INT"], fingerprint=lambda: float("nan"))
    shop.type("Grow", grow, inputs={"value": "INT"}, outputs=["INT"])
    graph = {"d": n("Dice"), "p": n("Pass", value=["d", 0]), "g": n("Grow", value=["p", 0]), "s": n("Show", value=["g", 0])}
    assert shop.run(graph).seen("s") == [2]
    assert made == [0]


def test_a_cycle_made_by_an_expansion_is_an_error_of_the_submitted_node(shop: Workshop) -> None:
    def expand(value: int) -> dict[str, Any]:
        return {"result": (["x", 0],), "expand": {"x": n("Add", a=["y", 0], b=1), "y": n("Add", a=["x", 0], b=1)}}

    shop.type("Ring", expand, inputs={"value": "INT"}, outputs=["INT"])
    ended = shop.run({"1": n("Ring", value=0), "2": n("Show", value=["1", 0])})
    assert (ended.state, ended.failures[-1].node_id) == ("failed", "1")
    assert "cycle" in ended.failures[-1].message


def test_an_expansion_that_needs_the_node_that_made_it_is_an_error(shop: Workshop) -> None:
    shop.type(
        "Self", lambda value: {"result": (["x", 0],), "expand": {"x": n("Add", a=["1", 0], b=1)}}, inputs={"value": "INT"}, outputs=["INT"]
    )
    ended = shop.run({"1": n("Self", value=0), "2": n("Show", value=["1", 0])})
    assert (ended.state, ended.failures[-1].node_id) == ("failed", "1")


def test_an_id_that_clashes_is_an_error(shop: Workshop) -> None:
    shop.type(
        "Clash", lambda value: {"result": (["2", 0],), "expand": {"2": n("Value", value=1)}}, inputs={"value": "INT"}, outputs=["INT"]
    )
    ended = shop.run({"1": n("Clash", value=0), "2": n("Show", value=["1", 0])})
    assert ended.state == "failed" and "taken already" in ended.failures[-1].message


def test_a_loop_rebuilds_itself_from_its_own_graph(shop: Workshop) -> None:
    def close(flow: Any, value: int, unique: str, dynprompt: Any) -> Any:
        if value >= 5:
            return (value,)
        open_id = flow[0]
        builder = GraphBuilder()
        copied = builder.node("LoopOpen", "open", value=value)
        step = builder.node("Add", "step", a=copied.out(1), b=1)
        again = builder.node("LoopClose", "Recurse", flow=copied.out(0), value=step.out(0))
        assert dynprompt.get_node(open_id)["class_type"] == "LoopOpen"
        return {"result": (again.out(0),), "expand": builder.finalize()}

    shop.type("LoopOpen", lambda value: ("flow", value), inputs={"value": "INT"}, outputs=["FLOW", "INT"])
    shop.type("LoopClose", close, inputs={"flow": "FLOW", "value": "INT"}, raw=["flow"], outputs=["INT"],
              hidden={"unique": "UNIQUE_ID", "dynprompt": "DYNPROMPT"})  # fmt: skip
    graph = {"o": n("LoopOpen", value=0), "b": n("Add", a=["o", 1], b=1), "c": n("LoopClose", flow=["o", 0], value=["b", 0]),
             "s": n("Show", value=["c", 0])}  # fmt: skip
    assert shop.run(graph).seen("s") == [5]


def test_a_blocked_value_keeps_everything_behind_it_from_running(shop: Workshop) -> None:
    shop.type("Block", lambda: (ExecutionBlocker(None),), outputs=["*"])
    ended = shop.run({"1": n("Block"), "2": n("Pass", value=["1", 0]), "3": n("Show", value=["2", 0]), "4": n("Show", value="free")})
    assert ended.state == "completed"
    assert "3" not in ended.ui and ended.seen("4") == ["free"]


def test_a_blocked_value_with_a_message_is_reported_and_the_job_is_not_called_a_success(shop: Workshop) -> None:
    shop.type("Block", lambda: (ExecutionBlocker("no face found"),), outputs=["*"])
    ended = shop.run({"1": n("Block"), "2": n("Pass", value=["1", 0]), "3": n("Show", value=["2", 0]), "4": n("Show", value="free")})
    assert ended.seen("4") == ["free"]
    assert (ended.state, ended.last.message) == ("failed", "no face found")
    assert [(event.node_id, event.error_type) for event in ended.failures] == [("2", "ExecutionBlocked")]


def test_in_a_list_only_the_blocked_entry_is_left_out(shop: Workshop) -> None:
    shop.type("List", lambda count: (list(range(count)),), inputs={"count": "INT"}, outputs=["*"], lists=[0])
    shop.type("Odd", lambda value: (value if value % 2 else ExecutionBlocker(None),), inputs={"value": "*"}, outputs=["*"])
    shop.type("Note", lambda value: {"ui": {"values": [value]}}, inputs={"value": "*"}, is_output=True)
    assert shop.run({"1": n("List", count=5), "2": n("Odd", value=["1", 0]), "3": n("Note", value=["2", 0])}).seen("3") == [1, 3]


def test_a_fingerprint_that_is_never_equal_makes_the_node_run_every_time(shop: Workshop) -> None:
    shop.type("Now", lambda: (1,), outputs=["INT"], fingerprint=lambda: float("nan"))
    graph = {"1": n("Now"), "2": n("Show", value=["1", 0])}
    shop.run(graph)
    assert sorted(shop.run(graph).ran) == ["1", "2"]


def test_a_fingerprint_sees_constants_only_and_joins_the_identity(shop: Workshop) -> None:
    seen: list[Any] = []

    def fingerprint(a: Any, b: Any) -> str:
        seen.append((a, b))
        return "same"

    shop.type("Stamped", lambda a, b: (a,), inputs={"a": "*", "b": "*"}, outputs=["*"], fingerprint=fingerprint)
    graph = {"1": n("Value", value=2), "2": n("Stamped", a=["1", 0], b=5), "3": n("Show", value=["2", 0])}
    shop.run(graph)
    assert shop.run(graph).ran == []
    assert seen == [(None, 5), (None, 5)]


def test_a_fingerprint_that_raises_counts_as_always_changed(shop: Workshop) -> None:
    def fingerprint() -> str:
        raise ValueError("broken")

    shop.type("Broken", lambda: (1,), outputs=["INT"], fingerprint=fingerprint)
    graph = {"1": n("Broken"), "2": n("Show", value=["1", 0])}
    shop.run(graph)
    assert shop.run(graph).state == "completed"
    assert "1" in shop.run(graph).ran


def test_hidden_inputs_bring_the_nodes_id_and_the_graph(shop: Workshop) -> None:
    shop.type("Who", lambda me, all: ((me, sorted(all)),), outputs=["*"], hidden={"me": "UNIQUE_ID", "all": "PROMPT"})
    assert shop.run({"7": n("Who"), "8": n("Show", value=["7", 0])}).seen("8") == [("7", ["7", "8"])]


def test_a_node_that_knows_its_id_shares_no_result_with_another_id(shop: Workshop) -> None:
    shop.type("Who", lambda me: (me,), outputs=["*"], hidden={"me": "UNIQUE_ID"})
    shop.run({"7": n("Who"), "8": n("Show", value=["7", 0])})
    assert shop.run({"9": n("Who"), "8": n("Show", value=["9", 0])}).seen("8") == ["9"]


def test_a_raw_link_is_given_to_the_node_as_it_stands_and_its_source_runs_first(shop: Workshop) -> None:
    shop.type("Raw", lambda link: (link,), inputs={"link": "*"}, raw=["link"], outputs=["*"])
    ended = shop.run({"1": n("Value", value=1), "2": n("Raw", link=["1", 0]), "3": n("Show", value=["2", 0])})
    assert ended.seen("3") == [["1", 0]]
    assert ended.ran.index("1") < ended.ran.index("2")


def test_the_object_of_a_stateful_node_is_kept_for_the_same_id_and_owner(shop: Workshop) -> None:
    class Counter:
        count = 0

    def call(self: Counter, value: int) -> tuple[int]:
        self.count += 1
        return (self.count,)

    shop.type("Counter", call, inputs={"value": "INT"}, outputs=["INT"], instance=Counter)

    def run(value: int, owner: str = "") -> Any:
        return shop.run({"1": n("Counter", value=value), "2": n("Show", value=["1", 0])}, owner=owner).seen("2")

    assert [run(1), run(2), run(3, owner="somebody else")] == [[1], [2], [1]]


def test_asynchronous_nodes_wait_side_by_side(shop: Workshop) -> None:
    import asyncio

    async def sleep(seconds: float) -> tuple[float]:
        await asyncio.sleep(seconds)
        return (seconds,)

    shop.type("Sleep", sleep, inputs={"seconds": "FLOAT"}, outputs=["FLOAT"], is_async=True)
    graph: dict[str, Any] = {}
    for index, seconds in enumerate((0.3, 0.4, 0.5)):
        graph |= {f"w{index}": n("Sleep", seconds=seconds), f"s{index}": n("Show", value=[f"w{index}", 0])}
    started_s = time.monotonic()
    assert shop.run(graph).state == "completed"
    assert time.monotonic() - started_s < 0.9


def test_an_error_ends_the_job_while_asynchronous_nodes_still_wait(shop: Workshop) -> None:
    import asyncio

    async def sleep(seconds: float) -> tuple[float]:
        await asyncio.sleep(seconds)
        return (seconds,)

    def fail(value: int) -> tuple[int]:
        raise ValueError(f"{value} is too small")

    shop.type("Sleep", sleep, inputs={"seconds": "FLOAT"}, outputs=["FLOAT"], is_async=True)
    shop.type("Fail", fail, inputs={"value": "INT"}, outputs=["INT"])
    graph = {"w": n("Sleep", seconds=20.0), "s": n("Show", value=["w", 0]), "f": n("Fail", value=1), "t": n("Show", value=["f", 0])}
    started_s = time.monotonic()
    ended = shop.run(graph)
    assert time.monotonic() - started_s < 5
    assert (ended.state, ended.failures[0].node_id, ended.failures[0].message) == ("failed", "f", "1 is too small")
    assert ended.failures[0].error_type == "ValueError" and ended.failures[0].traceback
    assert shop.run({"1": n("Value", value=1), "2": n("Show", value=["1", 0])}).state == "completed"


def test_a_cancelled_job_stops_at_the_next_step_of_the_node_that_runs(shop: Workshop) -> None:
    begun = threading.Event()

    def long(context: Any) -> tuple[int]:
        for step in range(2000):
            begun.set()
            context.progress(step, 2000)
            time.sleep(0.005)
        return (1,)

    shop.type("Long", long, outputs=["INT"], wants_context="context")
    run, events = shop.start({"1": n("Long"), "2": n("Show", value=["1", 0])})
    assert begun.wait(5)
    run.cancel()
    last = run.done.result(5)
    assert (last.state, last.node_id) == ("cancelled", "1")
    assert events[-1] is last


def test_a_job_that_is_cancelled_before_it_begins_runs_nothing(shop: Workshop) -> None:
    gate = threading.Event()
    shop.type("Gate", lambda: (gate.wait(5),), outputs=["*"], lane="device")
    shop.type("Step", lambda value: (value,), inputs={"value": "INT"}, outputs=["INT"], lane="device")
    first, _ = shop.start({"1": n("Gate"), "2": n("Show", value=["1", 0])}, job_id="first")
    second, _events = shop.start({"1": n("Step", value=1), "2": n("Show", value=["1", 0])}, job_id="second")
    time.sleep(0.05)
    second.cancel()
    assert second.done.result(5).state == "cancelled"
    gate.set()
    assert first.done.result(5).state == "completed"


def test_a_failing_node_is_run_again_as_often_as_its_policy_says(shop: Workshop) -> None:
    tries: list[int] = []

    def shaky() -> tuple[int]:
        tries.append(1)
        if len(tries) < 3:
            raise OSError("the line is busy")
        return (len(tries),)

    shop.type("Shaky", shaky, outputs=["INT"])
    ended = shop.run({"1": {**n("Shaky"), "policy": {"retries": 2}}, "2": n("Show", value=["1", 0])})
    assert (ended.state, ended.seen("2")) == ("completed", [3])
    assert [failure.caught for failure in ended.failures] == [True, True]


def test_a_failure_is_caught_by_an_input_that_catches(shop: Workshop) -> None:
    def needed(first: Any = None, second: Any = None) -> list[str]:
        if first is None:
            return ["first"]
        return ["second"] if isinstance(first, ExecutionBlocker) and second is None else []

    def fallback(first: Any = None, second: Any = None) -> tuple[Any]:
        return (second if isinstance(first, ExecutionBlocker) else first,)

    def fail() -> tuple[int]:
        raise ValueError("out of order")

    shop.type("Fail", fail, outputs=["*"])
    shop.type("Fallback", fallback, inputs={"first": "*", "second": "*"}, outputs=["*"], lazy=["first", "second"], lazy_status=needed,
              catches=frozenset({"first"}))  # fmt: skip
    graph = {"f": n("Fail"), "p": n("Pass", value=["f", 0]), "b": n("Value", value="spare"),
             "c": n("Fallback", first=["p", 0], second=["b", 0]), "s": n("Show", value=["c", 0])}  # fmt: skip
    ended = shop.run(graph)
    assert (ended.state, ended.seen("s")) == ("completed", ["spare"])
    graph["direct"] = n("Show", value=["f", 0])
    assert shop.run(graph).state == "failed"


def test_when_memory_runs_out_the_cache_is_let_go_and_the_node_tried_once_more(shop: Workshop) -> None:
    tries: list[int] = []

    def hungry() -> tuple[int]:
        tries.append(len(shop.cache))
        if len(tries) == 1:
            raise MemoryError
        return (1,)

    shop.run({"1": n("Value", value=1), "2": n("Show", value=["1", 0])})
    shop.type("Hungry", hungry, outputs=["INT"])
    assert shop.run({"1": n("Hungry"), "2": n("Show", value=["1", 0])}).state == "completed"
    assert tries[0] > 0 and tries[1] == 0


def test_when_memory_runs_out_twice_that_job_fails_alone(shop: Workshop) -> None:
    def hungry() -> tuple[int]:
        raise MemoryError

    shop.type("Hungry", hungry, outputs=["INT"])
    ended = shop.run({"1": n("Hungry"), "2": n("Show", value=["1", 0])})
    assert (ended.state, ended.last.code) == ("failed", "out_of_memory")
    assert shop.run({"1": n("Value", value=1), "2": n("Show", value=["1", 0])}).state == "completed"


def test_an_optional_node_is_bypassed_under_load_and_what_follows_is_not_kept(tmp_path: Any) -> None:
    shop = Workshop(tmp_path, options={"overload_backlog": 0})
    shop.type("Enhance", lambda value: (value + 1,), inputs={"value": "INT"}, outputs=["INT"], optional_under_load=True)
    shop.type("Source", lambda: (1,), outputs=["INT"])
    graph = {"1": n("Source"), "2": n("Enhance", value=["1", 0]), "3": n("Pass", value=["2", 0]), "4": n("Show", value=["3", 0])}
    assert shop.run(graph).seen("4") == [1]
    shop.executor.overload_backlog = None
    assert shop.run(graph).seen("4") == [2]
    shop.close()


@pytest.mark.parametrize("depth", [1_000, 10_000])
def test_a_chain_of_any_depth_validates_and_runs(shop: Workshop, depth: int) -> None:
    graph: dict[str, Any] = {"0": n("Value", value=0)}
    graph |= {str(i): n("Add", a=[str(i - 1), 0], b=1) for i in range(1, depth)}
    graph["out"] = n("Show", value=[str(depth - 1), 0])
    assert shop.run(graph).seen("out") == [depth - 1]
