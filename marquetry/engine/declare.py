"""Functions to node types: the signature is the schema.

Parameter names are input names, annotations give type and widget, defaults give defaults, the docstring is the help text.
"""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from marquetry.engine import ports
from marquetry.engine.context import Context
from marquetry.engine.errors import DeclarationError
from marquetry.engine.outcome import NodeOutput
from marquetry.engine.schema import Input, Lane, NodeType, Output
from marquetry.engine.usage import ExtentRule, UsageRule

F = TypeVar("F", bound=Callable[..., Any])
WIDGET_TYPES: Mapping[type, str] = {bool: "BOOLEAN", int: "INT", float: "FLOAT", str: "STRING"}
MAX_SEED = 0xFFFFFFFFFFFFFFFF


def node(
    *,
    id: str,
    title: str,
    category: str,
    lane: Lane = "cpu",
    usage: UsageRule | None = None,
    extent: ExtentRule | None = None,
    version: str = "1",
    output_node: bool = False,
    input_is_list: bool = False,
    hidden: Mapping[str, Any] | None = None,
    not_idempotent: bool = False,
    deprecated: bool = False,
    experimental: bool = False,
    aliases: Sequence[str] = (),
    private: bool = False,
    optional_under_load: bool = False,
    catches: Sequence[str] = (),
    lazy_status: Callable[..., Any] | None = None,
    fingerprint: Callable[..., Any] | None = None,
    validate: Callable[..., Any] | None = None,
) -> Callable[[F], F]:
    """Declare the function below as a node type; the function stays callable as it is.

    `lane` says what the body needs: "device" (the accelerator, one node at a time), "cpu", or "io" (for `async def`).
    `fingerprint(**literals)` joins the node's identity; `validate(**inputs)` gives True or a sentence that says what is wrong;
    `lazy_status(**inputs)` names the lazy inputs that are needed, given None for those not yet made. All three see only the
    parameters that they name. Raises DeclarationError when the signature can't be read as a schema.
    """

    def declare(function: F) -> F:
        signature = inspect.signature(function)
        hints = typing.get_type_hints(function, include_extras=True)
        inputs: list[Input] = []
        wants_context: str | None = None
        accepts_any = False
        for parameter in signature.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                accepts_any = True
                continue
            hint = hints.get(parameter.name)
            if hint is Context:
                wants_context = parameter.name
                continue
            if hidden is not None and parameter.name in hidden:
                continue
            if hint is None:
                raise DeclarationError(f"{id}: input '{parameter.name}' has no annotation")
            inputs.append(_input(id, parameter, hint, input_is_list))
        node_type = NodeType(
            id=id,
            title=title,
            category=category,
            call=function,
            inputs=tuple(inputs),
            outputs=_outputs(id, hints.get("return")),
            hidden=dict(hidden or {}),
            description=inspect.getdoc(function) or "",
            version=version,
            module=_module_name(function.__module__),
            lane="io" if inspect.iscoroutinefunction(function) else lane,
            is_output=output_node,
            input_is_list=input_is_list,
            is_async=inspect.iscoroutinefunction(function),
            accepts_any=accepts_any,
            bare=_is_bare(hints.get("return")),
            catches=frozenset(catches),
            wants_context=wants_context,
            not_idempotent=not_idempotent,
            deprecated=deprecated,
            experimental=experimental,
            aliases=tuple(aliases),
            usage=usage,
            extent=extent,
            private=private,
            optional_under_load=optional_under_load,
            lazy_status=lazy_status,
            fingerprint=fingerprint,
            validate=validate,
        )
        function.__node_type__ = node_type  # type: ignore[attr-defined]
        return function

    return declare


def node_type(function: Callable[..., Any]) -> NodeType:
    """The node type that `@node` made of a function."""
    declared: NodeType = function.__node_type__  # type: ignore[attr-defined]
    return declared


def _module_name(module: str) -> str:
    return module.removeprefix("marquetry.")


def _input(node_id: str, parameter: inspect.Parameter, hint: Any, whole_lists: bool) -> Input:
    hint, optional = _without_none(hint)
    base, marks = _parts(hint)
    if whole_lists and get_origin(base) in (list, collections.abc.Sequence):
        base, inner = _parts(get_args(base)[0])
        marks = (*inner, *marks)
    options: dict[str, Any] = {}
    kind: Any = None
    choices: Callable[[], Sequence[Any]] | None = None
    file: ports.File | None = None
    flags: set[str] = set()
    if parameter.default is not inspect.Parameter.empty and not (optional and parameter.default is None):
        options["default"] = parameter.default
    if get_origin(base) is Literal:
        kind = list(get_args(base))
    elif isinstance(base, type) and base in WIDGET_TYPES:
        kind = WIDGET_TYPES[base]
    for mark in marks:
        match mark:
            case ports.Port(name):
                kind = name
            case ports.Range():
                options |= {"min": mark.minimum, "max": mark.maximum}
                options |= {key: value for key in ("step", "round", "display") if (value := getattr(mark, key)) is not None}
            case ports.Choice(values):
                kind = list(values)
            case ports.ChoiceOf(make):
                kind, choices = [], make
            case ports.File():
                kind, file = [], mark
                if mark.upload is not None:
                    options[f"{mark.upload}_upload"] = True
            case ports.Text():
                options["multiline"] = mark.multiline
                if mark.dynamic_prompts:
                    options["dynamicPrompts"] = True
                if mark.placeholder is not None:
                    options["placeholder"] = mark.placeholder
            case ports.Seed():
                options |= {"min": 0, "max": MAX_SEED, "control_after_generate": mark.control}
            case ports.Toggle():
                options |= {"label_on": mark.on, "label_off": mark.off}
            case ports.Tip(text):
                options["tooltip"] = text
            case ports.Raw(raw):
                options |= raw
            case ports.Flag(name):
                flags.add(name)
            case _:
                raise DeclarationError(f"{node_id}: input '{parameter.name}' has a mark that is not understood: {mark!r}")
    if kind is None:
        raise DeclarationError(f"{node_id}: the annotation of input '{parameter.name}' names no port type: {hint!r}")
    if "socket_only" in flags:
        options["forceInput"] = True
    if "lazy" in flags:
        options["lazy"] = True
    if "raw_link" in flags:
        options["rawLink"] = True
    if "advanced" in flags:
        options["advanced"] = True
    if kind in ("INT", "FLOAT") and "default" in options and "min" not in options:
        options |= {"min": -(2**53), "max": 2**53} if kind == "INT" else {"min": -1e18, "max": 1e18}
    return Input(
        name=parameter.name,
        type=kind,
        required=not (optional or "optional" in flags),
        options=options,
        choices=choices,
        file_kind=None if file is None else file.kind,
        also=() if file is None else file.also,
        lazy="lazy" in flags,
        raw_link="raw_link" in flags,
    )


def _outputs(node_id: str, hint: Any) -> tuple[Output, ...]:
    if hint is None or hint is type(None):
        return ()
    if get_origin(hint) is NodeOutput:
        return _outputs(node_id, get_args(hint)[0])
    if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        fields = typing.get_type_hints(hint, include_extras=True)
        return tuple(_output(node_id, fields[name], name) for name in fields)
    if get_origin(hint) is tuple:
        return tuple(_output(node_id, part, None) for part in get_args(hint))
    return (_output(node_id, hint, None),)


def _is_bare(hint: Any) -> bool:
    if get_origin(hint) is NodeOutput:
        hint = get_args(hint)[0]
    named = isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields")
    return not (hint is None or hint is type(None) or named or get_origin(hint) is tuple)


def _output(node_id: str, hint: Any, name: str | None) -> Output:
    base, marks = _parts(hint)
    is_list = get_origin(base) is list and not any(isinstance(mark, ports.Port) for mark in marks)
    if is_list:
        base, inner = _parts(get_args(base)[0])
        marks = (*inner, *marks)
    kind: Any = WIDGET_TYPES.get(base) if isinstance(base, type) else None
    if get_origin(base) is Literal:
        kind = list(get_args(base))
    tooltip: str | None = None
    for mark in marks:
        match mark:
            case ports.Port(port):
                kind = port
            case ports.Named(named):
                name = named
            case ports.Tip(text):
                tooltip = text
            case _:
                pass
    if kind is None:
        raise DeclarationError(f"{node_id}: an output's annotation names no port type: {hint!r}")
    return Output(kind, name or (kind if isinstance(kind, str) else "COMBO"), is_list, tooltip)


def _without_none(hint: Any) -> tuple[Any, bool]:
    base, marks = _parts(hint)
    if get_origin(base) in (typing.Union, types.UnionType):
        rest = [part for part in get_args(base) if part is not type(None)]
        if len(rest) == 1 and len(rest) < len(get_args(base)):
            return (Annotated[(rest[0], *marks)] if marks else rest[0]), True
    return hint, False


def _parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    if get_origin(hint) is Annotated:
        base, *marks = get_args(hint)
        return base, tuple(marks)
    return hint, ()
