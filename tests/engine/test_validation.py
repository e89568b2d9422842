"""Validation finds every problem at once and lets what is sound run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from marquetry.engine.schema import Input, NodeType, Output
from tests.engine.execution.workshop import Workshop, n


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    workshop = Workshop(tmp_path)
    workshop.registry.add(
        NodeType(
            id="Strict", title="", category="", call=lambda **given: (1,),
            inputs=(
                Input("count", "INT", True, {"min": 1, "max": 5}), Input("scale", "FLOAT", True, {"min": 0.0, "max": 1.0}),
                Input("mode", ["fast", "slow"], True), Input("name", "STRING", True), Input("on", "BOOLEAN", True), Input("image", "IMAGE", False),
            ),
            outputs=(Output("INT", "n"),),
        )
    )  # fmt: skip
    yield workshop
    workshop.close()


SOUND = {"count": 2, "scale": 0.5, "mode": "fast", "name": "x", "on": True}


def test_every_problem_of_every_node_is_reported_at_once(shop: Workshop) -> None:
    graph = {
        "1": n("Strict", count=9, scale="much", mode="medium", on=True),
        "2": n("Strict", **{**SOUND, "count": 0, "image": "a.png"}),
        "3": n("Show", value=["1", 0]),
        "4": n("Show", value=["2", 7]),
    }
    validation = shop.check(graph)
    assert not validation.outputs
    assert sorted((problem.node_id, problem.type, problem.input_name) for problem in validation.problems) == [
        ("1", "invalid_input_type", "scale"),
        ("1", "required_input_missing", "name"),
        ("1", "value_bigger_than_max", "count"),
        ("1", "value_not_in_list", "mode"),
        ("2", "invalid_input_type", "image"),
        ("2", "value_smaller_than_min", "count"),
        ("4", "bad_linked_input", "value"),
    ]


def test_a_sound_output_may_run_although_another_may_not(shop: Workshop) -> None:
    graph = {"1": n("Strict", **{**SOUND, "count": 9}), "2": n("Show", value=["1", 0]), "3": n("Show", value="fine")}
    validation = shop.check(graph)
    assert validation.outputs == ("3",)
    assert validation.dependent_outputs == {"1": ("2",)}


def test_a_link_to_a_missing_node_concerns_that_output_alone(shop: Workshop) -> None:
    validation = shop.check({"2": n("Show", value=["nobody", 0]), "3": n("Show", value="fine")})
    assert validation.outputs == ("3",)
    assert "'nobody'" in validation.problems[0].details


def test_literals_are_brought_into_the_types_that_nodes_declare(shop: Workshop) -> None:
    validation = shop.check({"1": n("Strict", **{**SOUND, "count": "3", "scale": 1, "name": 5, "on": 1}), "2": n("Show", value=["1", 0])})
    assert validation.ok
    inputs = validation.graph["1"].inputs
    assert (inputs["count"], inputs["scale"], inputs["name"], inputs["on"]) == (3, 1.0, "5", True)
    assert isinstance(inputs["scale"], float)


def test_a_number_that_is_none_or_not_finite_is_refused(shop: Workshop) -> None:
    wrong: list[Any] = [None, "inf", "nan", []]
    for value in wrong:
        validation = shop.check({"1": n("Strict", **{**SOUND, "scale": value}), "2": n("Show", value=["1", 0])})
        assert [problem.type for problem in validation.problems] == ["invalid_input_type"]


def test_a_cycle_is_named_with_its_nodes_and_other_outputs_may_run(shop: Workshop) -> None:
    graph = {"a": n("Add", a=["b", 0], b=1), "b": n("Add", a=["a", 0], b=1), "s": n("Show", value=["a", 0]), "t": n("Show", value="fine")}
    validation = shop.check(graph)
    assert validation.outputs == ("t",)
    cycle = [problem for problem in validation.problems if problem.type == "dependency_cycle"]
    assert {problem.node_id for problem in cycle} == {"a", "b"} and "->" in cycle[0].details


def test_unknown_node_types_are_all_named(shop: Workshop) -> None:
    validation = shop.check({"1": n("Nope"), "2": n("Neither"), "3": n("Show", value=1)})
    assert [(problem.type, problem.node_id) for problem in validation.problems] == [("invalid_prompt", "1"), ("invalid_prompt", "2")]


def test_a_graph_without_outputs_is_refused(shop: Workshop) -> None:
    assert [problem.type for problem in shop.check({"1": n("Value", value=1)}).problems] == ["prompt_no_outputs"]
    assert [problem.type for problem in shop.check({"1": n("Show", value=1)}, targets=[]).problems] == ["prompt_no_outputs"]


def test_a_validator_sees_the_parameters_it_names_with_links_as_none(shop: Workshop) -> None:
    seen: list[dict[str, Any]] = []

    def check(a: Any, b: Any) -> Any:
        seen.append({"a": a, "b": b})
        return True if b != 3 else "b must not be three"

    shop.type("Checked", lambda a, b, c: (a,), inputs={"a": "*", "b": "*", "c": "*"}, outputs=["*"], validate=check)
    graph = {"1": n("Value", value=1), "2": n("Checked", a=["1", 0], b=2, c=5), "3": n("Show", value=["2", 0])}
    assert shop.check(graph).ok
    assert seen == [{"a": None, "b": 2}]
    graph["2"] = n("Checked", a=["1", 0], b=3, c=5)
    assert {(p.type, p.input_name) for p in shop.check(graph).problems} == {
        ("custom_validation_failed", "a"),
        ("custom_validation_failed", "b"),
    }


def test_a_validator_may_be_asynchronous_and_may_raise(shop: Workshop) -> None:
    async def check(value: Any) -> Any:
        await asyncio.sleep(0)
        raise RuntimeError("the validator is broken")

    shop.type("Checked", lambda value: (value,), inputs={"value": "*"}, outputs=["*"], validate=check)
    validation = shop.check({"1": n("Checked", value=1), "2": n("Show", value=["1", 0])})
    assert [(p.type, p.details) for p in validation.problems] == [("exception_during_validation", "the validator is broken")]


def test_a_validator_that_takes_input_types_decides_on_types_itself(shop: Workshop) -> None:
    def check(input_types: dict[str, Any]) -> Any:
        return input_types == {"value": "INT"}

    shop.type("Int", lambda: (1,), outputs=["INT"])
    shop.type("Checked", lambda value: (value,), inputs={"value": "IMAGE"}, outputs=["*"], validate=check)
    assert shop.check({"0": n("Int"), "1": n("Checked", value=["0", 0]), "2": n("Show", value=["1", 0])}).ok


def test_a_file_that_is_not_in_the_input_folder_is_a_problem_before_anything_runs(shop: Workshop) -> None:
    shop.folders.create()
    shop.registry.add(NodeType(id="Read", title="", category="", call=lambda file: (1,), inputs=(Input("file", [], file_kind="input"),),
                               outputs=(Output("INT", "n"),)))  # fmt: skip
    graph = {"1": n("Read", file="../secret.png"), "2": n("Show", value=["1", 0])}
    assert [p.type for p in shop.check(graph).problems] == ["custom_validation_failed"]
    (shop.folders.input / "a.png").write_bytes(b"x")
    assert shop.check({"1": n("Read", file="a.png"), "2": n("Show", value=["1", 0])}).ok
