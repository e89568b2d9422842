"""Text nodes against Python's own, and patterns that would hang or fill the memory are stopped."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marquetry.engine.context import Context, Services
from marquetry.engine.declare import node_type
from marquetry.engine.errors import NodeFailed
from marquetry.engine.folders import Folders
from marquetry.nodes import string as nodes

CONTEXT = Context(Services(Folders(Path("."))))
PATTERNS = st.sampled_from([r"a", r"(a)(b)?", r"\b\w+\b", r"x*", r"^.", r"(?P<n>[ab]+)c|d", r".$", r"\n", r"(?=(a.*))", r"[A-Z]"])
TEXTS = st.text(alphabet="abcdx AB\n", max_size=12)


def flags(case_insensitive: bool, multiline: bool, dotall: bool) -> int:
    return re.I * case_insensitive | re.M * multiline | re.S * dotall


class TestPlain:
    def test_texts_are_joined_cut_and_measured(self) -> None:
        assert nodes.concatenate("a", "b", ", ") == "a, b"
        assert nodes.substring("abcdef", 1, -1) == "bcde"
        assert nodes.length("\u6728x") == 2

    @pytest.mark.parametrize(
        ("mode", "expected"), [("UPPERCASE", "ONE TWO"), ("lowercase", "one two"), ("Capitalize", "One two"), ("Title Case", "One Two")]
    )
    def test_case_is_changed(self, mode: Any, expected: str) -> None:
        assert nodes.convert_case("oNE tWO", mode) == expected

    @pytest.mark.parametrize(("mode", "expected"), [("Both", "x"), ("Left", "x \n"), ("Right", "\t x")])
    def test_ends_are_trimmed(self, mode: Any, expected: str) -> None:
        assert nodes.trim("\t x \n", mode) == expected

    @given(TEXTS, st.text(alphabet="abx", max_size=2), st.text(alphabet="ab", max_size=3))
    def test_replacing_is_pythons(self, text: str, find: str, replacement: str) -> None:
        assert nodes.replace(text, find, replacement) == text.replace(find, replacement)

    def test_searching_minds_case_when_asked(self) -> None:
        assert nodes.contains("Cat", "cat", False) and not nodes.contains("Cat", "cat", True)

    @pytest.mark.parametrize(("mode", "other"), [("Starts With", "HEL"), ("Ends With", "LO"), ("Equal", "HELLO")])
    def test_comparing_minds_case_when_asked(self, mode: Any, other: str) -> None:
        assert nodes.compare("hello", other, mode, False) and not nodes.compare("hello", other, mode, True)

    def test_a_text_can_not_double_without_end(self) -> None:
        text = "x"
        with pytest.raises(NodeFailed, match="more than"):
            for _ in range(60):
                text = nodes.concatenate(text, text)
        with pytest.raises(NodeFailed, match="more than"):
            nodes.replace("x" * 10**4, "x", "y" * 10**6)


class TestPatterns:
    @settings(max_examples=150, deadline=None)
    @given(PATTERNS, TEXTS, st.tuples(st.booleans(), st.booleans(), st.booleans()))
    def test_matching_and_all_matches_are_pythons(self, pattern: str, text: str, options: tuple[bool, bool, bool]) -> None:
        assert nodes.regex_match(text, pattern, *options, context=CONTEXT) == (re.search(pattern, text, flags(*options)) is not None)
        found = re.findall(pattern, text, flags(*options))
        expected = "\n".join(part[0] if isinstance(part, tuple) else part for part in found)
        assert nodes.regex_extract(text, pattern, "All Matches", *options, context=CONTEXT) == expected

    @settings(max_examples=150, deadline=None)
    @given(PATTERNS, TEXTS, st.sampled_from(["-", r"<\g<0>>", r"\\", ""]), st.integers(0, 3))
    def test_replacing_is_pythons(self, pattern: str, text: str, template: str, count: int) -> None:
        assert nodes.regex_replace(text, pattern, template, True, False, False, count) == re.sub(
            pattern, template, text, count=count, flags=re.I
        )

    def test_groups_are_taken_by_number(self) -> None:
        text = "a=1, b=22"
        for mode, index, expected in (
            ("First Match", 1, "a=1"),
            ("First Group", 2, "1"),
            ("First Group", 0, "a=1"),
            ("First Group", 3, ""),
            ("All Groups", 2, "1\n22"),
            ("All Groups", 3, ""),
        ):
            assert nodes.regex_extract(text, r"(\w)=(\d+)", mode, group_index=index, context=CONTEXT) == expected  # type: ignore[arg-type]
        assert nodes.regex_extract("x", "y", "First Match", context=CONTEXT) == ""
        assert nodes.regex_extract("ac", "(b)?c", "First Group", context=CONTEXT) == ""

    def test_named_groups_stand_in_the_replacement(self) -> None:
        assert nodes.regex_replace("a1 b2", r"(?P<l>\w)(\d)", r"\2\g<l>") == "1a 2b"

    def test_a_pattern_that_can_not_be_read_matches_nothing_and_replacing_fails(self) -> None:
        assert nodes.regex_match("x", "(", context=CONTEXT) is False
        assert nodes.regex_extract("x", "(", "First Match", context=CONTEXT) == ""
        for pattern, template in (("(", ""), ("x", r"\5")):
            with pytest.raises(NodeFailed, match="can't be read"):
                nodes.regex_replace("x", pattern, template)

    @pytest.mark.parametrize(
        ("pattern", "text"), [(r"(x+x+)+y", "x" * 60), (r"(a|aa)+$", "a" * 80 + "b"), (r"(.*)*=.*=$", "x=" + "x" * 3000)]
    )
    def test_a_pattern_that_backtracks_without_end_is_stopped(self, monkeypatch: pytest.MonkeyPatch, pattern: str, text: str) -> None:
        monkeypatch.setattr(nodes, "SEARCH_LIMIT_S", 0.2)
        try:
            nodes.regex_match(text, pattern, context=CONTEXT)
        except NodeFailed as problem:
            assert "takes longer" in problem.message

    def test_other_threads_run_while_a_pattern_is_searched(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(nodes, "SEARCH_LIMIT_S", 0.5)
        counted = []
        stop = threading.Event()

        def count() -> None:
            while not stop.wait(0.01):
                counted.append(1)

        thread = threading.Thread(target=count, daemon=True)
        thread.start()
        try:
            with pytest.raises(NodeFailed, match="takes longer"):
                nodes.regex_match("a" * 80 + "b", r"(a|aa)+$", context=CONTEXT)
        finally:
            stop.set()
            thread.join()
        assert len(counted) > 5

    def test_matches_that_overlap_can_not_fill_the_memory(self) -> None:
        with pytest.raises(NodeFailed, match="more than"):
            nodes.regex_extract("x" * 10_000, r"(?=(.*))", "All Groups", context=CONTEXT)
        with pytest.raises(NodeFailed, match="more than"):
            nodes.regex_replace("x" * 2000, "x", "y" * 10_000)


def test_names_of_inputs_and_outputs_are_comfyuis() -> None:
    replace = node_type(nodes.regex_replace)
    assert [declared.name for declared in replace.inputs] == [
        "string",
        "regex_pattern",
        "replace",
        "case_insensitive",
        "multiline",
        "dotall",
        "count",
    ]
    assert [declared.required for declared in replace.inputs] == [True, True, True, False, False, False, False]
    assert [node_type(function).outputs[0].name for function in (nodes.length, nodes.contains, nodes.regex_match)] == [
        "length",
        "contains",
        "matches",
    ]
