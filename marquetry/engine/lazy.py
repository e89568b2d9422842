"""Modules that load on first use, so that describing nodes never imports a model library."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any


class LazyModule:
    """Stands in for a module until an attribute of it is asked for."""

    def __init__(self, name: str) -> None:
        self.__name = name
        self.__module: ModuleType | None = None

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__") and attribute.endswith("__"):
            raise AttributeError(attribute)
        if self.__module is None:
            self.__module = importlib.import_module(self.__name)
        value = getattr(self.__module, attribute)
        setattr(self, attribute, value)
        return value


if TYPE_CHECKING:
    import numpy as numpy
    import torch as torch
    from torch.nn import functional as functional
else:
    torch = LazyModule("torch")
    functional = LazyModule("torch.nn.functional")
    numpy = LazyModule("numpy")
