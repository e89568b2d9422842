"""NodeType: the immutable description of a node. Whoever declared it, downstream sees only this."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from marquetry.engine.usage import ExtentRule, UsageRule

Lane: TypeAlias = Literal["cpu", "device", "io"]


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()


@dataclass(frozen=True, slots=True)
class Input:
    """One input. `type` is a wire name, or a sequence of choices; it is kept as declared, since packs override comparison on it.

    `options` holds what the editor is told (`default`, `min`, `max`, `step`, `tooltip`, ...), unknown keys included.
    `choices` makes the choices anew for inputs that list files or other changing things.
    """

    name: str
    type: Any
    required: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    choices: Callable[[], Sequence[Any]] | None = None
    file_kind: str | None = None
    also: tuple[str, ...] = ()
    lazy: bool = False
    raw_link: bool = False

    @property
    def default(self) -> Any:
        return self.options.get("default", MISSING)


@dataclass(frozen=True, slots=True)
class Output:
    """One output: its wire type, its name, whether it gives a list, and its help text."""

    type: Any
    name: str
    is_list: bool = False
    tooltip: str | None = None


@dataclass(frozen=True, slots=True)
class NodeType:
    """What the engine knows of a node.

    `call` takes the inputs by name and gives outputs in the forms of ComfyUI: a tuple, a dict with `result` / `ui` / `expand`,
    or a coroutine of one. Three adapters make node types: `declare.node`, ComfyUI V1 classes and V3 schemas.
    `instance` makes the object that a stateful node keeps between runs; it is then passed to `call` first.
    """

    id: str
    title: str
    category: str
    call: Callable[..., Any]
    inputs: tuple[Input, ...] = ()
    outputs: tuple[Output, ...] = ()
    hidden: Mapping[str, Any] = field(default_factory=dict)  # argument name -> kind ("PROMPT", "UNIQUE_ID", ...)
    description: str = ""
    version: str = "1"
    module: str = "nodes"
    lane: Lane = "cpu"
    is_output: bool = False
    input_is_list: bool = False
    is_async: bool = False
    accepts_any: bool = False  # the callable takes **kwargs: linked inputs that are not declared reach it
    bare: bool = False  # the callable gives its one output as it is, not in a tuple
    catches: frozenset[str] = frozenset()  # inputs that receive a blocked value as it is: its cause is dealt with here
    wants_context: str | None = None  # name of the parameter that takes the Context
    not_idempotent: bool = False  # the node's id is part of its identity
    deprecated: bool = False
    experimental: bool = False
    api_node: bool = False
    aliases: tuple[str, ...] = ()
    usage: UsageRule | None = None
    extent: ExtentRule | None = None  # bounds the pictures and latents that it gives, for quotes
    private: bool = False  # results come from one person's files: shared with nobody else
    optional_under_load: bool = False  # may be bypassed when compute is full
    passes_blocked: bool = False  # the blocked values that it catches are not dealt with here, only given on
    shows_linked: bool = False  # shows to clients what those show that its raw links lead to
    instance: Callable[[], Any] | None = None
    lazy_status: Callable[..., Any] | None = None
    fingerprint: Callable[..., Any] | None = None
    validate: Callable[..., Any] | None = None
    refresh: Callable[[], NodeType] | None = None  # describes the node anew, for packs whose inputs change
    claims: Callable[[str], bool] | None = None  # whether an undeclared constant of that name is an input after all
    extra: Mapping[str, Any] = field(default_factory=dict)  # further keys of object_info

    def input(self, name: str) -> Input | None:
        for declared in self.inputs:
            if declared.name == name:
                return declared
        return None
