"""Where a pack saves its next file: placeholders filled, numbers counted on, never outside the folder."""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from marquetry.engine.errors import UnsafePath
from marquetry.engine.saving import expanded


class SavePath(NamedTuple):
    """`folder` exists; the file is to be called `{name}_{counter:05}_` and a suffix. `prefix` has its placeholders filled."""

    folder: str
    name: str
    counter: int
    subfolder: str
    prefix: str


def save_path(prefix: str, root: str, width: int = 0, height: int = 0) -> SavePath:
    """The place for the next file of a prefix such as `portraits/%year%/ada`. Raises UnsafePath when it leaves `root`."""
    prefix = expanded(prefix, width, height, datetime.now())
    subfolder, name = os.path.split(os.path.normpath(prefix))
    folder = Path(root, subfolder).resolve()
    home = Path(root).resolve()
    if folder != home and home not in folder.parents:
        raise UnsafePath(f"the file name prefix '{prefix}' leads out of the folder {root}")
    folder.mkdir(parents=True, exist_ok=True)
    return SavePath(os.path.join(root, subfolder), name, _next_number(folder, name), subfolder, prefix)


def _next_number(folder: Path, name: str) -> int:
    numbered = re.compile(re.escape(os.path.normcase(name)) + r"_(\d+)(?:\D.*)?$")
    found = (numbered.match(os.path.normcase(file)) for file in os.listdir(folder))
    return max((int(match[1]) for match in found if match), default=0) + 1
