"""Typed-in values pass unchanged, and any value can be looked at."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from marquetry.engine.declare import node_type
from marquetry.engine.folders import Folders
from marquetry.engine.registry import describe
from marquetry.nodes import primitive as nodes


@pytest.mark.parametrize(
    ("function", "value"),
    [(nodes.whole_number, -(2**63) + 1), (nodes.number, 0.1), (nodes.line, "x"), (nodes.lines, "x\ny"), (nodes.truth, False)],
)
def test_values_pass_unchanged(function: Any, value: Any) -> None:
    assert function(value) is value


def test_schemas_are_comfyuis(tmp_path: Path) -> None:
    def value_of(function: Any) -> Any:
        return describe(node_type(function), Folders(tmp_path))["input"]["required"]["value"]

    assert value_of(nodes.whole_number) == ["INT", {"min": -sys.maxsize, "max": sys.maxsize, "control_after_generate": True}]
    assert value_of(nodes.number) == ["FLOAT", {"min": -sys.maxsize, "max": sys.maxsize, "step": 0.1}]
    assert value_of(nodes.line) == ["STRING", {"multiline": False}]
    assert value_of(nodes.lines) == ["STRING", {"multiline": True}]
    assert value_of(nodes.truth) == ["BOOLEAN"]


def test_a_choice_written_in_the_editor_is_always_valid() -> None:
    validate = node_type(nodes.custom_choice).validate
    assert validate is not None and validate("anything", option1="x") is True
    assert nodes.custom_choice("b", 1) == ("b", 1)


class TestPreview:
    @pytest.mark.parametrize(
        ("value", "text"),
        [("plain\n", "plain\n"), (3, "3"), (0.5, "0.5"), (True, "True"), (None, "None"), ({"a": [1]}, json.dumps({"a": [1]}, indent=4))],
    )
    def test_values_are_shown_as_text(self, value: Any, text: str) -> None:
        output = nodes.preview(value)
        assert output.value == text and output.ui == {"text": [text]}

    def test_tensors_and_other_things_are_shown_as_python_prints_them(self) -> None:
        assert "tensor(" in nodes.as_text(torch.zeros(2))
        assert "tensor(" in nodes.as_text({"samples": torch.zeros(2)})
        assert "object" in nodes.as_text(object())

    def test_a_ring_of_lists_does_not_hang(self) -> None:
        ring: list[Any] = []
        ring.append(ring)
        assert nodes.as_text(ring) == "[[...]]"

    def test_what_is_shown_is_bounded(self) -> None:
        assert len(nodes.preview("x" * 10**6).value or "") == nodes.MAX_SHOWN_CHARACTERS
