"""ComfyUI's V1 node classes as node types.

Packs are written loosely, and ComfyUI lets them: whatever it accepts is accepted here, and types are kept as the very
objects that the class gives, since packs override comparison on them.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marquetry.engine.errors import DeclarationError
from marquetry.engine.outcome import ExecutionBlocker
from marquetry.engine.schema import Input, Lane, NodeType, Output

log = logging.getLogger(__name__)
HIDDEN_KINDS = frozenset({"PROMPT", "DYNPROMPT", "EXTRA_PNGINFO", "UNIQUE_ID", "AUTH_TOKEN_COMFY_ORG", "API_KEY_COMFY_ORG"})
VALUED_SECTIONS = ("required", "optional")


class OpenOutputs(tuple[Output, ...]):
    """Outputs of a class whose RETURN_TYPES answers more indices than it counts."""

    return_types: Sequence[Any]

    def __new__(cls, outputs: Iterable[Output], return_types: Sequence[Any]) -> OpenOutputs:
        made = super().__new__(cls, outputs)
        made.return_types = return_types
        return made

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int) and index >= len(self):
            kind = self.return_types[index]
            return Output(kind, kind if isinstance(kind, str) else "COMBO")
        return super().__getitem__(index)


@dataclass(frozen=True)
class Registration:
    """How a pack offers a class: its id, the title, the module as clients see it and the version of the pack's code."""

    id: str
    title: str
    module: str
    version: str = "1"


def node_type_of(node_class: type, registration: Registration) -> NodeType:
    """The node type of a V1 class. Raises DeclarationError when its INPUT_TYPES can't be read."""
    try:
        sections = _sections(node_class)
    except Exception as error:
        raise DeclarationError(f"{registration.id}: INPUT_TYPES fails: {type(error).__name__}: {error}", id=registration.id) from error
    inputs = tuple(_inputs(sections))
    hidden = {str(name): kind for name, kind in _entries(sections.get("hidden"))}
    function = getattr(node_class, str(getattr(node_class, "FUNCTION", "")), None)
    is_async = inspect.iscoroutinefunction(function)
    lane: Lane = "io" if is_async else "device"

    def refresh() -> NodeType:
        try:
            return node_type_of(node_class, registration)
        except DeclarationError as error:
            log.warning("%s; its last description is kept", error.message)
            return described

    described = NodeType(
        id=registration.id,
        title=registration.title,
        category=str(getattr(node_class, "CATEGORY", "sd")),
        call=_call(node_class, function, frozenset(declared.name for declared in inputs) | frozenset(hidden)),
        inputs=inputs,
        outputs=_outputs(node_class),
        hidden=hidden,
        description=_text(getattr(node_class, "DESCRIPTION", "")),
        version=registration.version,
        module=registration.module,
        lane=lane,
        is_output=getattr(node_class, "OUTPUT_NODE", False) is True,
        input_is_list=bool(getattr(node_class, "INPUT_IS_LIST", False)),
        is_async=is_async,
        accepts_any=True,
        not_idempotent=bool(getattr(node_class, "NOT_IDEMPOTENT", False)),
        deprecated=bool(getattr(node_class, "DEPRECATED", False)),
        experimental=bool(getattr(node_class, "EXPERIMENTAL", False)),
        api_node=bool(getattr(node_class, "API_NODE", False)),
        aliases=_names(getattr(node_class, "SEARCH_ALIASES", ())),
        instance=node_class,
        lazy_status=_lazy_status(node_class),
        fingerprint=getattr(node_class, "IS_CHANGED", None),
        validate=getattr(node_class, "VALIDATE_INPUTS", None),
        refresh=refresh,
        claims=_claims(sections, hidden),
    )
    return described


def _sections(node_class: type) -> Mapping[str, Any]:
    made = getattr(node_class, "INPUT_TYPES", None)
    sections = made() if callable(made) else made
    if sections is None:
        return {}
    if not isinstance(sections, Mapping):
        raise TypeError(f"INPUT_TYPES gives {type(sections).__name__}, not a dict")
    return sections


def _entries(section: Any) -> list[tuple[Any, Any]]:
    return list(section.items()) if isinstance(section, Mapping) else []


def _inputs(sections: Mapping[str, Any]) -> Iterable[Input]:
    seen: set[str] = set()
    for section in VALUED_SECTIONS:
        for name, entry in _entries(sections.get(section)):
            if str(name) in seen:
                continue
            seen.add(str(name))
            kind, options = _type_and_options(entry)
            yield Input(
                name=str(name),
                type=kind,
                required=section == "required",
                options=options,
                lazy=bool(options.get("lazy", False)),
                raw_link=bool(options.get("rawLink", False)),
            )


def _type_and_options(entry: Any) -> tuple[Any, dict[str, Any]]:
    if isinstance(entry, str) or not isinstance(entry, (tuple, list)):
        return _kind(entry), {}
    kind = _kind(entry[0]) if entry else "*"
    options = entry[1] if len(entry) > 1 else None
    return kind, dict(options) if isinstance(options, Mapping) else {}


def _kind(kind: Any) -> Any:
    """A wire type as it is; anything that holds choices as a list."""
    if isinstance(kind, str):
        return kind
    if isinstance(kind, (set, frozenset)):
        return sorted(kind, key=str)
    if isinstance(kind, Iterable):
        return list(kind)
    return str(kind)


def _outputs(node_class: type) -> tuple[Output, ...]:
    kinds = getattr(node_class, "RETURN_TYPES", ())
    if isinstance(kinds, str):
        kinds = (kinds,)
    count = len(kinds)
    names = _names(getattr(node_class, "RETURN_NAMES", ()))
    lists = getattr(node_class, "OUTPUT_IS_LIST", ())
    if isinstance(lists, bool):
        lists = (lists,) * count
    tooltips = _names(getattr(node_class, "OUTPUT_TOOLTIPS", ()))
    outputs = [
        Output(
            type=kind,
            name=names[index] if index < len(names) else (kind if isinstance(kind, str) else "COMBO"),
            is_list=bool(lists[index]) if index < len(lists) else False,
            tooltip=tooltips[index] if index < len(tooltips) else None,
        )
        for index, kind in enumerate(_kind(kinds[index]) for index in range(count))
    ]
    return OpenOutputs(outputs, kinds) if _answers_beyond(kinds, count) else tuple(outputs)


def _answers_beyond(kinds: Sequence[Any], count: int) -> bool:
    if type(kinds) in (tuple, list):
        return False
    try:
        kinds[count]
    except Exception:
        return False
    return True


def _names(given: Any) -> tuple[Any, ...]:
    if given is None:
        return ()
    if isinstance(given, str):
        return (given,)
    return tuple(given)


def _text(given: Any) -> str:
    return inspect.cleandoc(given) if isinstance(given, str) else ""


def _claims(sections: Mapping[str, Any], hidden: Mapping[str, Any]) -> Callable[[str], bool] | None:
    """Whether an undeclared name is an input after all: a hidden entry of another kind, or a dict that says so of any name."""
    own = frozenset(name for name, kind in hidden.items() if not (isinstance(kind, str) and kind in HIDDEN_KINDS))
    open_sections = [section for section in sections.values() if isinstance(section, Mapping) and type(section) is not dict]
    if not own and not open_sections:
        return None

    def claims(name: str) -> bool:
        return name in own or any(name in section for section in open_sections)

    return claims


def _call(node_class: type, function: Any, declared: frozenset[str]) -> Callable[..., Any]:
    name = str(getattr(node_class, "FUNCTION", ""))
    accepted = _accepted(function, declared)
    count = len(getattr(node_class, "RETURN_TYPES", ()))

    def call(instance: Any, /, **inputs: Any) -> Any:
        if accepted is not None and not inputs.keys() <= accepted:
            inputs = {key: value for key, value in inputs.items() if key in accepted}
        result = getattr(instance, name)(**inputs)
        return _completed(result, count) if type(result) in (tuple, list) and len(result) < count else result

    return call


def _completed(values: Sequence[Any], count: int) -> tuple[Any, ...]:
    """Values that the class promises and does not give: whoever needs one says so, everybody else runs."""
    missing = (ExecutionBlocker(f"the node before gave no value for its output {number}") for number in range(len(values), count))
    return (*values, *missing)


def _lazy_status(node_class: type) -> Callable[..., Any] | None:
    """`check_lazy_status` as a function of the object, whether it was written as a method or not."""
    status = getattr(node_class, "check_lazy_status", None)
    if status is None or not isinstance(inspect.getattr_static(node_class, "check_lazy_status"), (staticmethod, classmethod)):
        return status

    def ask(instance: Any, /, **inputs: Any) -> Any:
        return status(**inputs)

    ask.__signature__ = inspect.signature(status)  # type: ignore[attr-defined]
    return ask


def _accepted(function: Any, declared: frozenset[str]) -> frozenset[str] | None:
    """The argument names to pass on, or None for all: what the class does not declare and the function does not take is left out."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return declared | frozenset(parameter.name for parameter in parameters)
