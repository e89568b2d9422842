"""Diffusers folders: the configuration files beside the weights, which say what a header can't show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from marquetry.engine.errors import ModelFormatError

CONFIGS = {
    "unet": "unet/config.json",
    "vae": "vae/config.json",
    "text_encoder": "text_encoder/config.json",
    "text_encoder_2": "text_encoder_2/config.json",
    "text_encoder_3": "text_encoder_3/config.json",
    "transformer": "transformer/config.json",
    "scheduler": "scheduler/scheduler_config.json",
}
MAX_CONFIG_BYTES = 1_000_000


def folder_hints(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """The configurations of a diffusers folder by part; empty for a file. Raises ModelFormatError for one that is not JSON."""
    if not path.is_dir():
        return {}
    hints: dict[str, Mapping[str, Any]] = {}
    for part, name in CONFIGS.items():
        file = path / name
        if not file.is_file():
            continue
        if file.stat().st_size > MAX_CONFIG_BYTES:
            raise ModelFormatError(f"{path.name}/{name} is too large for a configuration", file=path.name)
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ModelFormatError(f"{path.name}/{name} is not JSON", file=path.name) from error
        if not isinstance(document, dict):
            raise ModelFormatError(f"{path.name}/{name} is not a JSON object", file=path.name)
        hints[part] = document
    return hints
