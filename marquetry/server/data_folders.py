"""The folders that settings name, with those of ComfyUI's `extra_model_paths.yaml` files and the models that ship with the package."""

from __future__ import annotations

from pathlib import Path

from marquetry.engine.folders import Folders
from marquetry.engine.models.builtin import add_builtin_models
from marquetry.engine.models.extra_model_paths import ExtraPathsError, apply_extra_model_paths
from marquetry.server.errors import SettingsError
from marquetry.server.settings import Settings

EXTRA_FILE = "extra_model_paths.yaml"


def folders_of(settings: Settings) -> Folders:
    """The folders of an installation; nothing is made on disk. Raises SettingsError for a file of extra paths that can't be read."""
    folders = Folders(
        settings.data,
        input=settings.input_directory or Path(),
        output=settings.output_directory or Path(),
        temp=settings.temp_directory or Path(),
        user=settings.user_directory or Path(),
        models=settings.models_directory or Path(),
        apart=settings.accounts.enabled,
    )
    add_builtin_models(folders)
    files = list(settings.extra_model_paths)
    own = settings.data / EXTRA_FILE
    if own.is_file() and own not in files:
        files.insert(0, own)
    for file in files:
        try:
            apply_extra_model_paths(folders, file)
        except ExtraPathsError as error:
            raise SettingsError(error.message) from error
    return folders
