"""Scenes and people as JSON, both ways. What is wrong in a description is named with its place."""

from __future__ import annotations

import json
import types
import typing
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from marquetry.nodes.world.stage.scene import Person, Scene, SceneError

T = TypeVar("T")
MAX_CHARACTERS = 20_000


def to_json(value: Scene | Person) -> str:
    """A description as JSON; what is left as usual is left out."""
    return json.dumps(plain(value), ensure_ascii=False)


def plain(value: Any) -> Any:
    """A description as dictionaries and lists."""
    if isinstance(value, tuple):
        return [plain(entry) for entry in value]
    if not is_dataclass(value):
        return value
    return {field.name: plain(own) for field in fields(value) if (own := getattr(value, field.name)) != field.default}


def scene_from_json(text: str) -> Scene:
    """A scene; raises SceneError when the text describes none."""
    return _read(Scene, _parsed(text), "scene")


def person_from_json(text: str) -> Person:
    """A person; raises SceneError when the text describes none."""
    return _read(Person, _parsed(text), "character")


def _parsed(text: str) -> Any:
    if len(text) > MAX_CHARACTERS:
        raise SceneError(f"the description has {len(text)} characters; at most {MAX_CHARACTERS} are read")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SceneError(f"the description is no JSON: {error}") from error


def _read(kind: type[T], value: Any, place: str) -> T:
    if not isinstance(value, dict):
        raise SceneError(f"{place} is {type(value).__name__}; it must be an object")
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(value) - set(hints))
    if unknown:
        raise SceneError(f"{place} has no '{unknown[0]}'; it may have: {', '.join(hints)}")
    given = {name: _value(hints[name], entry, f"{place}.{name}") for name, entry in value.items()}
    try:
        return kind(**given)
    except TypeError as error:
        raise SceneError(f"{place} lacks something: {error}") from error
    except SceneError as error:
        raise SceneError(f"{place}: {error}") from error


def _value(hint: Any, value: Any, place: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
        origin = typing.get_origin(hint)
    if origin is tuple:
        if not isinstance(value, list):
            raise SceneError(f"{place} is {type(value).__name__}; it must be a list")
        inner = typing.get_args(hint)[0]
        return tuple(_value(inner, entry, f"{place}[{index}]") for index, entry in enumerate(value[:100]))
    if is_dataclass(hint) and isinstance(hint, type):
        return _read(hint, value, place)
    return _simple(hint, value, place)


def _simple(hint: Any, value: Any, place: str) -> Any:
    if hint is float and type(value) in (int, float):
        return float(value)
    if type(value) is not hint:
        raise SceneError(f"{place} is {json.dumps(value)[:60]}; it must be {hint.__name__}")
    return value
