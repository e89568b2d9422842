"""The models that ship with the package."""

from __future__ import annotations

from pathlib import Path

from marquetry.engine.folders import Folders

BUILTIN_FOLDER = Path(__file__).parents[2] / "models" / "builtin"


def add_builtin_models(folders: Folders) -> None:
    """Let checkpoints also be found among the models that ship with the package."""
    folders.add_model_folder("checkpoints", BUILTIN_FOLDER)
