"""Which kinds of control there are: every module of this folder that defines `KIND`, in order of their names."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.models import control as package
from marquetry.engine.models.control.kind import ControlKind, FoundControl
from marquetry.engine.models.families.registry import describe_layout, recognise
from marquetry.engine.models.safetensors_file import Header


@functools.cache
def kinds() -> dict[str, ControlKind]:
    """All installed kinds by id."""
    names = sorted(found.name for found in pkgutil.iter_modules(package.__path__))
    modules = [importlib.import_module(f"{package.__name__}.{name}") for name in names]
    return {module.KIND.id: module.KIND for module in modules if hasattr(module, "KIND")}


def recognise_control(header: Header) -> FoundControl | None:
    """What some kind recognises in a file, or None."""
    return next((found for kind in kinds().values() if (found := kind.recognise(header)) is not None), None)


def require_control(header: Header) -> FoundControl:
    """As `recognise_control`. Raises ModelFormatError that says what the file is like."""
    found = recognise_control(header)
    if found is not None:
        return found
    other = recognise(header)
    what = f"{', '.join(other.parts)} of {other.family}" if other is not None else describe_layout(header)
    raise ModelFormatError(f"no installed family reads a ControlNet from {header.source}: detected {what}", file=header.source)
