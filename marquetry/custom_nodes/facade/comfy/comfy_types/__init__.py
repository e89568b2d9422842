"""`comfy.comfy_types` for packs."""

from __future__ import annotations

from .node_typing import (
    IO,
    CheckLazyMixin,
    ComfyNodeABC,
    FileLocator,
    InputTypeDict,
    UnetApplyConds,
    UnetApplyFunction,
    UnetParams,
    UnetWrapperFunction,
)

__all__ = [
    "IO",
    "CheckLazyMixin",
    "ComfyNodeABC",
    "FileLocator",
    "InputTypeDict",
    "UnetApplyConds",
    "UnetApplyFunction",
    "UnetParams",
    "UnetWrapperFunction",
]
