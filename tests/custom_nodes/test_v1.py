"""V1 classes in every shape that packs are written in."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from marquetry.custom_nodes.v1 import Registration, node_type_of
from marquetry.engine.folders import Folders
from marquetry.engine.input_check import types_match
from marquetry.engine.registry import describe
from marquetry.engine.schema import NodeType

HERE = Registration("Odd", "Odd", "custom_nodes.odd")


class Base:
    RETURN_TYPES: Any = ("STRING",)
    FUNCTION = "run"
    CATEGORY = "odd"
    inputs: Any = {}

    @classmethod
    def INPUT_TYPES(cls) -> Any:
        return cls.inputs

    def run(self, **inputs: Any) -> Any:
        return (inputs,)


def made(**members: Any) -> NodeType:
    return node_type_of(type("Odd", (Base,), members), HERE)


def section(node_type: NodeType, name: str, folders: Folders) -> Any:
    return describe(node_type, folders)["input"][name]


@pytest.mark.parametrize("inputs", [{}, {"optional": {"a": ("INT",)}}, {"required": None}, {"required": {}, "hidden": None}, None])
def test_input_types_may_lack_any_section(inputs: Any, folders: Folders) -> None:
    node_type = made(inputs=inputs)
    assert all(not declared.required for declared in node_type.inputs)
    assert describe(node_type, folders)["input"]["required"] == {}


@pytest.mark.parametrize(
    ("entry", "kind", "options"),
    [
        (("INT",), "INT", {}),
        (["INT", {"default": 3}], "INT", {"default": 3}),
        ("INT", "INT", {}),
        (("INT", None), "INT", {}),
        ((["a", "b"],), ["a", "b"], {}),
        ((("a", "b"), {"default": "c"}), ["a", "b"], {"default": "c"}),
        (({"x": 1, "y": 2}.keys(),), ["x", "y"], {}),
        (({"x": 1},), ["x"], {}),
        (([1, 2.5, True],), [1, 2.5, True], {}),
        ((range(3),), [0, 1, 2], {}),
        (({"b", "a"},), ["a", "b"], {}),
        (([],), [], {}),
        (("INT,FLOAT", {"private.key": {"deep": [1]}}), "INT,FLOAT", {"private.key": {"deep": [1]}}),
    ],
)
def test_an_input_may_be_written_in_any_of_these_ways(entry: Any, kind: Any, options: Any, folders: Folders) -> None:
    node_type = made(inputs={"required": {"value": entry}})
    assert node_type.inputs[0].type == kind
    assert dict(node_type.inputs[0].options) == options
    assert section(node_type, "required", folders)["value"] == ([kind, options] if options else [kind])


class Anything(str):
    def __ne__(self, other: object) -> bool:
        return False


def test_a_type_that_overrides_comparison_is_kept_as_it_is() -> None:
    anything = Anything("*")
    node_type = made(inputs={"required": {"value": (anything,)}}, RETURN_TYPES=(anything,))
    assert node_type.inputs[0].type is anything
    assert node_type.outputs[0].type is anything
    assert types_match("IMAGE", node_type.inputs[0].type)
    assert types_match(node_type.outputs[0].type, "IMAGE")


class Endless(tuple[Any, ...]):
    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(min(index, len(self) - 1))


def test_return_types_that_answer_any_index_give_outputs_at_any_index() -> None:
    outputs = made(RETURN_TYPES=Endless(("FLOW", "*"))).outputs
    assert [output.type for output in outputs] == ["FLOW", "*"]
    assert outputs[17].type == "*"
    with pytest.raises(IndexError):
        made(RETURN_TYPES=("FLOW", "*")).outputs[17]


def test_outputs_with_lists_of_choices_short_names_and_wrong_list_flags_are_completed(folders: Folders) -> None:
    described = describe(made(RETURN_TYPES=(["a", "b"], "INT", "IMAGE"), RETURN_NAMES=("first", "same"), OUTPUT_IS_LIST=(True,)), folders)
    assert described["output"] == [["a", "b"], "INT", "IMAGE"]
    assert described["output_name"] == ["first", "same", "IMAGE"]
    assert described["output_is_list"] == [True, False, False]
    assert describe(made(RETURN_TYPES=()), folders)["output"] == []
    assert describe(made(RETURN_TYPES=("INT",), RETURN_NAMES=None), folders)["output_name"] == ["INT"]


class TakesAnything(dict[str, Any]):
    def __contains__(self, key: object) -> bool:
        return True

    def __getitem__(self, key: str) -> Any:
        return ("INT",)


def test_a_dict_that_claims_any_key_makes_undeclared_constants_inputs() -> None:
    node_type = made(inputs={"required": {}, "optional": TakesAnything()})
    assert node_type.claims is not None
    assert node_type.claims("lora_7")
    assert made(inputs={"required": {"a": ("INT",)}, "hidden": {"id": "UNIQUE_ID"}}).claims is None


def test_hidden_entries_of_other_kinds_arrive_when_the_prompt_holds_them() -> None:
    node_type = made(inputs={"hidden": {"me": "UNIQUE_ID", "width": "INT", "range": ("INT", {"default": 1})}})
    assert node_type.hidden == {"me": "UNIQUE_ID", "width": "INT", "range": ("INT", {"default": 1})}
    assert node_type.claims is not None
    assert [node_type.claims(name) for name in ("me", "width", "range", "other")] == [False, True, True, False]


def test_flags_are_read_by_truth_but_an_output_node_by_identity() -> None:
    node_type = made(
        OUTPUT_NODE=1, INPUT_IS_LIST=(True,), DEPRECATED=1, EXPERIMENTAL=True, API_NODE=True, NOT_IDEMPOTENT=1, SEARCH_ALIASES=["x"]
    )
    assert not node_type.is_output
    assert made(OUTPUT_NODE=True).is_output
    assert node_type.input_is_list is True
    assert node_type.deprecated and node_type.experimental and node_type.api_node and node_type.not_idempotent
    assert node_type.aliases == ("x",)


def test_lazy_and_raw_links_are_read_from_the_options() -> None:
    node_type = made(inputs={"required": {"a": ("INT", {"lazy": True}), "b": ("*", {"rawLink": True})}})
    assert [(declared.lazy, declared.raw_link) for declared in node_type.inputs] == [(True, False), (False, True)]


def call(node_type: NodeType, **inputs: Any) -> Any:
    assert node_type.instance is not None
    return node_type.call(node_type.instance(), **inputs)


def test_the_function_may_be_static_inherited_or_bound_to_the_class() -> None:
    def plain(a: int) -> Any:
        return (a + 1,)

    assert call(made(run=staticmethod(plain)), a=1) == (2,)
    assert call(made(run=classmethod(lambda cls, a: (cls.__name__, a))), a=1) == ("Odd", 1)
    assert call(made(), a=1) == ({"a": 1},)


def test_what_the_class_does_not_declare_reaches_only_functions_that_take_it() -> None:
    def narrow(self: Any, a: int, b: int = 0) -> Any:
        return (a, b)

    node_type = made(inputs={"required": {"a": ("INT",)}}, run=narrow)
    assert call(node_type, a=1, b=2, stale=3) == (1, 2)
    assert call(made(inputs={"required": {"a": ("INT",)}}), a=1, extra=3) == ({"a": 1, "extra": 3},)


def test_an_object_keeps_its_state_between_calls() -> None:
    def count(self: Any) -> Any:
        self.seen = getattr(self, "seen", 0) + 1
        return (self.seen,)

    node_type = made(run=count)
    assert node_type.instance is not None
    kept = node_type.instance()
    assert [node_type.call(kept), node_type.call(kept)] == [(1,), (2,)]


async def test_an_async_function_is_awaited_on_the_io_lane() -> None:
    async def slow(self: Any) -> Any:
        return ("done",)

    node_type = made(run=slow)
    assert node_type.is_async and node_type.lane == "io"
    assert await call(node_type) == ("done",)
    assert made().lane == "device"


def test_checks_keep_the_signature_that_the_engine_reads() -> None:
    def validate(cls: Any, a: int, input_types: Any) -> Any:
        return True

    def changed(self: Any, a: int) -> Any:
        return a

    node_type = made(VALIDATE_INPUTS=classmethod(validate), IS_CHANGED=changed)
    assert node_type.validate is not None and node_type.fingerprint is not None
    assert list(inspect.signature(node_type.validate).parameters) == ["a", "input_types"]
    with pytest.raises(TypeError):
        node_type.fingerprint(a=1)
