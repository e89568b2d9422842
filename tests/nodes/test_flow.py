"""Switches give the chosen branch and ask for nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from marquetry.engine.declare import node_type
from marquetry.engine.errors import NodeFailed
from marquetry.nodes import flow as nodes


def asked(function: Any, **inputs: Any) -> list[str]:
    status = node_type(function).lazy_status
    assert status is not None
    wanted: list[str] = status(**inputs)
    return wanted


def test_a_switch_asks_for_the_chosen_branch_only() -> None:
    assert asked(nodes.switch, switch=True) == ["on_true"]
    assert asked(nodes.switch, switch=False) == ["on_false"]
    assert nodes.switch(True, None, "yes") == "yes" and nodes.switch(False, "no", None) == "no"


def test_every_branch_is_lazy_and_may_be_left_open() -> None:
    for function in (nodes.switch, nodes.switch_case):
        branches = [declared for declared in node_type(function).inputs if declared.type == "*"]
        assert branches and all(declared.lazy and not declared.required for declared in branches)
    assert node_type(nodes.switch).outputs[0].name == "output"


def test_a_case_that_is_linked_is_asked_for_alone() -> None:
    assert asked(nodes.switch_case, index=2, case_2=None, case_3=None, otherwise=None) == ["case_2"]
    assert nodes.switch_case(2, case_2="two") == "two"


@pytest.mark.parametrize("index", [-1, 1, 8, 99])
def test_without_such_a_case_the_other_way_is_taken(index: int) -> None:
    assert asked(nodes.switch_case, index=index, case_0=None, otherwise=None) == ["otherwise"]
    assert nodes.switch_case(index, otherwise="else") == "else"


def test_with_nothing_connected_it_says_so() -> None:
    with pytest.raises(NodeFailed, match="case_3"):
        nodes.switch_case(3)
