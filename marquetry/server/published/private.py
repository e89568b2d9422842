"""Private weights: files that only jobs read. They stand below a folder of their creator's in each folder of models, which no list shows.

Names begin with `.market/` and the creator's place; folders whose names begin with a dot are left out of every listing of models. Who may name
such a file in a graph is decided when the graph is checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256

from marquetry.engine.folders import SOUND_OWNER

PRIVATE = ".market/"
PLACE = re.compile(r"\.market/(?P<place>[A-Za-z0-9_-]{1,100})/(?P<name>[^/\x00]{1,200})")


def place_of(owner: str) -> str:
    """The folder of a creator's private weights, below `.market`."""
    return owner if SOUND_OWNER.fullmatch(owner) else sha256(owner.encode()).hexdigest()


def private_name(owner: str, digest: str, name: str) -> str:
    """The name of a private file: by its content, so that another with the same name is another."""
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", name)[-120:]
    return f"{PRIVATE}{place_of(owner)}/{digest[:16]}-{stem}"


def private_path(name: str) -> str | None:
    """Whose place a name is in; None: it names no private file."""
    match = PLACE.fullmatch(name.replace("\\", "/"))
    return None if match is None else match["place"]


def private_names(values: Iterable[object]) -> set[str]:
    """Those of the values that name private files."""
    return {value for value in values if isinstance(value, str) and ".market" in value.replace("\\", "/")}
