"""Packs in the engine: what their nodes may do while a graph runs."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from marquetry.custom_nodes.host import load_packs
from tests.engine.execution.workshop import Workshop, n

Pack = Callable[[str], Workshop]


@pytest.fixture
def pack(tmp_path: Path) -> Iterator[Pack]:
    """Load this source as a pack into an executor."""
    shop = Workshop(tmp_path)

    def load(source: str) -> Workshop:
        place = tmp_path / "custom_nodes" / "pack.py"
        place.parent.mkdir(exist_ok=True)
        place.write_text(textwrap.dedent(source))
        (report,) = load_packs(shop.registry, shop.folders)
        assert report.error is None and not report.skipped, report
        return shop

    yield load
    shop.close()


def test_state_on_an_object_lives_from_job_to_job_and_apart_by_node(pack: Pack) -> None:
    shop = pack("""
    class Count:
        def __init__(self):
            self.seen = 0
        @classmethod
        def INPUT_TYPES(s):
            return {"required": {}}
        @classmethod
        def IS_CHANGED(s):
            return float("nan")
        RETURN_TYPES = ("INT",)
        FUNCTION = "go"
        def go(self):
            self.seen += 1
            return (self.seen,)
    NODE_CLASS_MAPPINGS = {"Count": Count}
    """)
    graph = {"1": n("Count"), "2": n("Count"), "3": n("Show", value=["1", 0]), "4": n("Show", value=["2", 0])}
    first, second = shop.run(graph), shop.run(graph, job_id="again")
    assert (first.seen("3"), first.seen("4"), second.seen("3"), second.seen("4")) == ([1], [1], [2], [2])


def test_a_check_without_classmethod_makes_the_node_run_every_time(pack: Pack) -> None:
    shop = pack("""
    class Careless:
        @classmethod
        def INPUT_TYPES(s):
            return {"required": {"a": ("INT", {"default": 1})}}
        def IS_CHANGED(self, a):
            return a
        RETURN_TYPES = ("INT",)
        FUNCTION = "go"
        def go(self, a):
            return (a,)
    NODE_CLASS_MAPPINGS = {"Careless": Careless}
    """)
    graph = {"1": n("Careless", a=1), "2": n("Show", value=["1", 0])}
    assert "1" in shop.run(graph).ran
    assert "1" in shop.run(graph, job_id="again").ran


def test_undeclared_links_reach_the_function_and_undeclared_constants_do_not(pack: Pack) -> None:
    shop = pack("""
    class Open(dict):
        def __contains__(self, key):
            return key.startswith("slot")
        def __getitem__(self, key):
            return ("INT",)
    class Variadic:
        @classmethod
        def INPUT_TYPES(s):
            return {"required": {"a": ("INT",)}}
        RETURN_TYPES = ("*",)
        FUNCTION = "go"
        def go(self, **kwargs):
            return (sorted(kwargs),)
    class Claims(Variadic):
        @classmethod
        def INPUT_TYPES(s):
            return {"required": {"a": ("INT",)}, "optional": Open(), "hidden": {"width": "INT"}}
    NODE_CLASS_MAPPINGS = {"Variadic": Variadic, "Claims": Claims}
    """)
    graph = {
        "0": n("Value", value=5),
        "1": n("Variadic", a=1, more=["0", 0], constant=3),
        "2": n("Claims", a=1, slot_9=4, other=5, width=64),
        "3": n("Show", value=["1", 0]),
        "4": n("Show", value=["2", 0]),
    }
    ended = shop.run(graph)
    assert ended.seen("3") == [["a", "more"]]
    assert ended.seen("4") == [["a", "slot_9", "width"]]


def test_outputs_beyond_those_that_are_counted_can_be_linked(pack: Pack) -> None:
    shop = pack("""
    class Endless(tuple):
        def __getitem__(self, index):
            return tuple.__getitem__(self, min(index, len(self) - 1))
    class Many:
        @classmethod
        def INPUT_TYPES(s):
            return {"required": {}}
        RETURN_TYPES = Endless(("*",))
        FUNCTION = "go"
        def go(self):
            return tuple(range(10))
    class Few:
        @classmethod
        def INPUT_TYPES(s):
            return {"required": {}}
        RETURN_TYPES = ("INT", "INT")
        FUNCTION = "go"
        def go(self):
            return (1,)
    NODE_CLASS_MAPPINGS = {"Many": Many, "Few": Few}
    """)
    assert shop.run({"1": n("Many"), "2": n("Show", value=["1", 7])}).seen("2") == [7]
    assert shop.run({"1": n("Few"), "2": n("Show", value=["1", 0])}).seen("2") == [1]


def test_whole_lists_come_and_go(pack: Pack) -> None:
    shop = pack("""
    class Spread:
        @classmethod
        def INPUT_TYPES(s):
            return {"required": {"count": ("INT", {"default": 3})}}
        RETURN_TYPES = ("INT", "INT")
        OUTPUT_IS_LIST = (True,)
        FUNCTION = "go"
        def go(self, count):
            return (list(range(count)), count)
    class Gather:
        @classmethod
        def INPUT_TYPES(s):
            return {"required": {"values": ("INT", {"forceInput": True}), "by": ("INT", {"default": 2})}, "hidden": {"me": "UNIQUE_ID"}}
        INPUT_IS_LIST = (True,)
        RETURN_TYPES = ("*",)
        FUNCTION = "go"
        def go(self, values, by, me):
            return ([[value * by[0] for value in values], by, me],)
    NODE_CLASS_MAPPINGS = {"Spread": Spread, "Gather": Gather}
    """)
    graph = {
        "1": n("Spread", count=3),
        "2": n("Gather", values=["1", 0], by=2),
        "3": n("Show", value=["2", 0]),
        "4": n("Show", value=["1", 1]),
    }
    ended = shop.run(graph)
    assert ended.seen("3") == [[[0, 2, 4], [2], ["2"]]]
    assert ended.seen("4") == [3]


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_only_the_lazy_input_that_is_asked_for_is_made(kind: str, pack: Pack) -> None:
    shop = pack(f"""
    class Choose:
        @classmethod
        def INPUT_TYPES(s):
            return {{"required": {{"second": ("BOOLEAN",), "a": ("*", {{"lazy": True}}), "b": ("*", {{"lazy": True}})}}}}
        RETURN_TYPES = ("*",)
        FUNCTION = "go"
        {kind} check_lazy_status(self, second, a, b):
            return ["b"] if second and b is None else ["a"] if not second and a is None else []
        def go(self, second, a, b):
            return (b if second else a,)
    NODE_CLASS_MAPPINGS = {{"Choose": Choose}}
    """)
    graph = {
        "1": n("Value", value="left"),
        "2": n("Value", value="right"),
        "3": n("Choose", second=True, a=["1", 0], b=["2", 0]),
        "4": n("Show", value=["3", 0]),
    }
    ended = shop.run(graph)
    assert ended.seen("4") == ["right"]
    assert "1" not in ended.ran


def test_a_node_goes_on_as_a_graph_that_the_builder_made(pack: Pack) -> None:
    shop = pack("""
    from comfy_execution.graph_utils import GraphBuilder
    class Thrice:
        @classmethod
        def INPUT_TYPES(s):
            return {"required": {"value": ("*",)}}
        RETURN_TYPES = ("*",)
        FUNCTION = "go"
        def go(self, value):
            graph = GraphBuilder()
            twice = graph.node("Add", a=value, b=value)
            thrice = graph.node("Add", a=twice.out(0), b=value)
            return {"result": (thrice.out(0),), "expand": graph.finalize()}
    NODE_CLASS_MAPPINGS = {"Thrice": Thrice}
    """)
    ended = shop.run({"1": n("Thrice", value=4), "2": n("Show", value=["1", 0])})
    assert ended.seen("2") == [12]
    assert {"1.0.0.1", "1.0.0.2"} <= set(ended.ran)


def test_a_blocked_output_silences_what_follows(pack: Pack) -> None:
    shop = pack("""
    from comfy_execution.graph import ExecutionBlocker
    class Gate:
        @classmethod
        def INPUT_TYPES(s):
            return {"required": {"open": ("BOOLEAN",)}}
        RETURN_TYPES = ("*", "*")
        FUNCTION = "go"
        def go(self, open):
            return (1 if open else ExecutionBlocker(None), 2)
    NODE_CLASS_MAPPINGS = {"Gate": Gate}
    """)
    ended = shop.run({"1": n("Gate", open=False), "2": n("Show", value=["1", 0]), "3": n("Show", value=["1", 1])})
    assert ended.seen("3") == [2]
    assert "2" not in ended.ui


def test_checks_of_a_pack_decide_what_is_valid(pack: Pack) -> None:
    shop = pack("""
    class Strict:
        @classmethod
        def INPUT_TYPES(s):
            return {"required": {"size": ("INT", {"max": 5}), "picture": ("IMAGE",)}}
        @classmethod
        async def VALIDATE_INPUTS(s, size, input_types):
            return True if size % 2 == 0 and input_types == {"picture": "*"} else "an odd size"
        RETURN_TYPES = ()
        OUTPUT_NODE = True
        FUNCTION = "go"
        def go(self, size, picture):
            return {"ui": {"size": [size]}}
    NODE_CLASS_MAPPINGS = {"Strict": Strict}
    """)
    graph = {"1": n("Value", value=1), "2": n("Strict", size=8, picture=["1", 0])}
    assert shop.run(graph).ui["2"] == {"size": [8]}
    graph["2"]["inputs"]["size"] = 7
    (problem,) = shop.check(graph).problems
    assert (problem.type, "an odd size" in problem.details) == ("custom_validation_failed", True)


def test_cancelling_reaches_a_pack_as_its_own_exception(pack: Pack) -> None:
    shop = pack("""
    import threading, time
    import comfy.model_management, comfy.utils
    started = threading.Event()
    seen = []
    class Long:
        @classmethod
        def INPUT_TYPES(s):
            return {"required": {}}
        RETURN_TYPES = ()
        OUTPUT_NODE = True
        FUNCTION = "go"
        def go(self):
            bar = comfy.utils.ProgressBar(1000)
            try:
                for step in range(1000):
                    bar.update(1)
                    started.set()
                    time.sleep(0.01)
            except comfy.model_management.InterruptProcessingException:
                seen.append("stopped")
                raise
    NODE_CLASS_MAPPINGS = {"Long": Long}
    """)
    import sys

    module: Any = next(value for key, value in sys.modules.items() if key.startswith(str(shop.folder).replace(".", "_x_")))
    run, _ = shop.start({"1": n("Long")})
    assert module.started.wait(10)
    run.cancel()
    assert run.done.result(10).state == "cancelled"
    assert module.seen == ["stopped"]
