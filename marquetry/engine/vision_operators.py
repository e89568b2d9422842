"""torchvision beside a torch without CUDA: the package index has one build, whose operators need CUDA's libraries, and without them it can't be imported.

Declaring the operators that it describes at import is enough for all that it does in Python. What is installed is never changed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

NAME = "torchvision"
DECLARED = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


class _Finder(MetaPathFinder):
    """Finds torchvision as Python would, and has its operators declared right before it runs."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != NAME:
            return None
        found = PathFinder.find_spec(fullname, path, target)
        loader: Any = None if found is None else found.loader
        if found is None or loader is None or found.origin is None:
            return found
        folder, run = Path(found.origin).parent, loader.exec_module

        def run_with_operators(module: ModuleType) -> None:
            declare_operators(folder)
            run(module)

        loader.exec_module = run_with_operators
        return found


def watch() -> None:
    """Look after torchvision whenever somebody imports it in this process."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def declare_operators(folder: Path) -> bool:
    """Declares what torchvision in `folder` can't bring itself; gives whether that was needed."""
    import torch

    operators: Any = torch.ops
    fragment: Any = torch.library.Library
    for library in folder.glob("_C*"):
        try:
            operators.load_library(library)
        except OSError:
            continue
        return False
    known = {operator.split("::")[1] for operator in torch._C._dispatch_get_all_op_names() if operator.startswith(f"{NAME}::")}
    missing = [operator for operator in DECLARED if operator.partition("(")[0] not in known]
    if missing:
        _kept.append(fragment(NAME, "FRAGMENT"))
    for operator in missing:
        _kept[-1].define(operator)
    return bool(missing)


_kept: list[Any] = []  # a declaration lives as long as its library
