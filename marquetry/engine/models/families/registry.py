"""Which families there are: every module of this folder that defines `FAMILY`, in order of their names."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.models import families as package
from marquetry.engine.models.families.family import Family, Found
from marquetry.engine.models.safetensors_file import Header


@functools.cache
def families() -> tuple[Family, ...]:
    """All installed families."""
    names = sorted(found.name for found in pkgutil.iter_modules(package.__path__))
    modules = (importlib.import_module(f"{package.__name__}.{name}") for name in names)
    return tuple(module.FAMILY for module in modules if hasattr(module, "FAMILY"))


def family(id: str) -> Family:
    """The family of that id. Raises KeyError."""
    return {known.id: known for known in families()}[id]


def recognise(header: Header, hints: Mapping[str, Any] | None = None) -> Found | None:
    """What some family recognises in a file, preferring whoever finds most of it; None when nobody knows it."""
    found = [answer for known in families() if (answer := known.recognise(header, hints or {})) is not None]
    return max(found, key=lambda answer: len(answer.parts), default=None)


def require(header: Header, part: str, hints: Mapping[str, Any] | None = None) -> Found:
    """As `recognise`, for a file that must hold `part`. Raises ModelFormatError that says what the file is like."""
    answers = [answer for known in families() if (answer := known.recognise(header, hints or {})) is not None]
    having = [answer for answer in answers if getattr(answer, part) is not None]
    if having:
        return max(having, key=lambda answer: len(answer.parts))
    what = f"it holds only {', '.join(answers[0].parts)} of {answers[0].family}" if answers else describe_layout(header)
    raise ModelFormatError(
        f"{header.source}: no installed family reads a {part.replace('_', ' ')} from this file: {what}", file=header.source, part=part
    )


def describe_layout(header: Header) -> str:
    """One line on what an unknown file looks like, from the beginnings of its tensor names."""
    groups: dict[str, int] = {}
    for name in header:
        start = ".".join(name.split(".")[:2])
        groups[start] = groups.get(start, 0) + 1
    largest = sorted(groups, key=lambda start: -groups[start])[:4]
    return f"{len(header)} tensors named {', '.join(f'{start}.*' for start in largest)}"
