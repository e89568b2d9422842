"""spandrel, imported without torchvision: two of its architectures that nobody needs here import a name from there."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from typing import Any


def spandrel() -> Any:
    """The package; its reading of networks of convolutions needs nothing of torchvision."""
    if importlib.util.find_spec("torchvision") is not None or "spandrel" in sys.modules:
        return importlib.import_module("spandrel")
    names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    stand_ins = {name: types.ModuleType(name) for name in names}
    vars(stand_ins[names[2]]).update(InterpolationMode=types.SimpleNamespace(NEAREST=0, BILINEAR=2), rotate=None, normalize=None)
    sys.modules.update(stand_ins)
    try:
        return importlib.import_module("spandrel")
    finally:
        for name in names:
            del sys.modules[name]
