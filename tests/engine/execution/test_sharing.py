"""Jobs side by side: what they share, what they never share, and which lanes they take."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path
from typing import Any

from tests.engine.execution.workshop import Ended, Workshop, n


def _slow(shop: Workshop, calls: list[int], **more: Any) -> None:
    def slow(value: int) -> tuple[int]:
        calls.append(value)
        time.sleep(0.2)
        return (value * 2,)

    shop.type("Slow", slow, inputs={"value": "INT"}, outputs=["INT"], **more)


def test_sixty_four_jobs_that_ask_for_the_same_at_once_make_it_once(shop: Workshop) -> None:
    calls: list[int] = []
    _slow(shop, calls)
    graph = {"1": n("Slow", value=4), "2": n("Show", value=["1", 0])}
    started = [shop.start(graph, owner=f"user {number}", job_id=f"job {number}") for number in range(64)]
    ended = [Ended(run.done.result(10), events) for run, events in started]
    assert [job.seen("2") for job in ended] == [[8]] * 64
    assert calls == [4]


def test_who_waits_makes_it_itself_when_the_maker_is_cancelled(shop: Workshop) -> None:
    calls: list[int] = []
    begun = threading.Event()

    def slow(context: Any, value: int) -> tuple[int]:
        calls.append(value)
        for step in range(40):
            begun.set()
            context.progress(step, 40)
            time.sleep(0.01)
        return (value,)

    shop.type("Slow", slow, inputs={"value": "INT"}, outputs=["INT"], wants_context="context")
    graph = {"1": n("Slow", value=4), "2": n("Show", value=["1", 0])}
    first, _ = shop.start(graph, job_id="first")
    assert begun.wait(5)
    second, _events = shop.start(graph, job_id="second", owner="other")
    time.sleep(0.05)
    first.cancel()
    assert first.done.result(5).state == "cancelled"
    assert second.done.result(5).state == "completed"
    assert calls == [4, 4]


def test_results_of_private_nodes_are_shared_with_nobody_else(shop: Workshop) -> None:
    calls: list[int] = []
    _slow(shop, calls, private=True)
    graph = {"1": n("Slow", value=4), "2": n("Pass", value=["1", 0]), "3": n("Show", value=["2", 0])}
    shop.run(graph, owner="ann")
    assert "2" in shop.run(graph, owner="bob").ran
    assert shop.run(graph, owner="ann").ran == []
    assert calls == [4, 4]


def test_the_content_of_a_file_is_part_of_the_identity_not_its_name(shop: Workshop) -> None:
    from marquetry.engine.schema import Input, NodeType, Output

    shop.folders.create()
    read = lambda file: ((shop.folders.input / file).read_text(),)  # noqa: E731
    shop.registry.add(
        NodeType(
            id="Read", title="", category="", call=read, inputs=(Input("file", [], file_kind="input"),), outputs=(Output("STRING", "text"),)
        )
    )
    (shop.folders.input / "a.txt").write_text("one")
    graph = {"1": n("Read", file="a.txt"), "2": n("Show", value=["1", 0])}
    assert shop.run(graph).seen("2") == ["one"]
    assert shop.run(graph).ran == []
    (shop.folders.input / "a.txt").write_text("three")
    assert shop.run(graph).seen("2") == ["three"]


def test_the_accelerator_runs_one_node_at_a_time_in_the_order_of_jobs_while_the_cpu_works_beside_it(shop: Workshop) -> None:
    spans: list[tuple[str, str, float, float]] = []

    def timed(lane: str, seconds: float) -> Any:
        def body(tag: str) -> tuple[str]:
            started_s = time.monotonic()
            time.sleep(seconds)
            spans.append((lane, tag, started_s, time.monotonic()))
            return (tag,)

        return body

    shop.type("Sample", timed("device", 0.15), inputs={"tag": "STRING"}, outputs=["STRING"], lane="device")
    shop.type("Save", lambda tag, body=timed("cpu", 0.15): body(tag), inputs={"tag": "STRING"}, outputs=["STRING"])
    jobs = []
    for tag in ("a", "b", "c"):
        jobs.append(shop.start({"1": n("Sample", tag=tag), "2": n("Save", tag=["1", 0]), "3": n("Show", value=["2", 0])}, job_id=tag))
    for run, _ in jobs:
        assert run.done.result(10).state == "completed"
    device = [span for span in spans if span[0] == "device"]
    assert [tag for _, tag, _, _ in device] == ["a", "b", "c"]
    assert all(before[3] <= after[2] for before, after in itertools.pairwise(device))
    save_a = next(span for span in spans if span[:2] == ("cpu", "a"))
    sample_b = next(span for span in spans if span[:2] == ("device", "b"))
    assert save_a[2] < sample_b[3] and sample_b[2] < save_a[3]


def test_slow_branches_of_one_job_use_several_threads(shop: Workshop) -> None:
    _slow(shop, [])
    graph: dict[str, Any] = {}
    for number in range(2):
        graph |= {f"w{number}": n("Slow", value=number), f"s{number}": n("Show", value=[f"w{number}", 0])}
    started_s = time.monotonic()
    assert shop.run(graph).state == "completed"
    assert time.monotonic() - started_s < 0.38


def test_the_cache_keeps_to_its_budget_and_lets_go_of_what_is_cheap_to_make_again(tmp_path: Path) -> None:
    shop = Workshop(tmp_path, memory_bytes=40_000)

    def text(size: int, wait_s: float) -> tuple[str]:
        time.sleep(wait_s)
        return ("x" * size,)

    shop.type("Text", text, inputs={"size": "INT", "wait_s": "FLOAT"}, outputs=["STRING"])
    shop.type("Length", lambda text: {"ui": {"values": [len(text)]}}, inputs={"text": "STRING"}, is_output=True)
    dear = {"1": n("Text", size=5_000, wait_s=0.2), "2": n("Length", text=["1", 0])}
    shop.run(dear)
    for size in range(5_001, 5_030):
        shop.run({"1": n("Text", size=size, wait_s=0.0), "2": n("Length", text=["1", 0])})
        assert shop.cache.held_bytes <= 40_000
    assert "1" not in shop.run({**dear, "3": n("Length", text=["1", 0])}).ran
    shop.close()


def test_the_cache_keeps_to_its_number_of_entries(shop: Workshop) -> None:
    shop.cache.max_entries = 20
    for value in range(60):
        shop.run({"1": n("Value", value=value), "2": n("Show", value=["1", 0])})
        assert len(shop.cache) <= 21
    assert shop.run({"1": n("Value", value=59), "2": n("Show", value=["1", 0])}).ran == []


def test_results_that_nobody_needs_any_more_are_let_go_while_the_job_runs(tmp_path: Path) -> None:
    import weakref

    shop = Workshop(tmp_path, memory_bytes=0)
    alive: list[weakref.ref[Any]] = []

    class Big:
        pass

    def make(value: Any) -> tuple[Big]:
        big = Big()
        alive.append(weakref.ref(big))
        return (big,)

    counts: list[int] = []

    def look(value: Any) -> tuple[Big]:
        counts.append(sum(ref() is not None for ref in alive))
        return make(value)

    shop.type("Look", look, inputs={"value": "*"}, outputs=["*"])
    graph: dict[str, Any] = {"0": n("Look", value=0)} | {str(i): n("Look", value=[str(i - 1), 0]) for i in range(1, 30)}
    graph["s"] = n("Show", value=["29", 0])
    assert shop.run(graph).state == "completed"
    assert max(counts) <= 2
    shop.close()
