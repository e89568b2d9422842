"""What listings take and give. Money is integers of micro-credits, times are milliseconds since the epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Details:
    """What a listing says of itself. It may change without a new version."""

    title: str
    summary: str = ""
    description: str = ""
    category: str = ""
    licence: str = "custom"
    licence_text: str = ""
    tags: Sequence[str] = ()
    base_models: Sequence[str] = ()
    trigger_words: Sequence[str] = ()
    pricing: str = "free"
    price_microcredits: int = 0
    period_days: int = 30
    downloadable: bool = False


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a version: the folder of weights and the name by which jobs find it there. `resources` are the tokens that usage names."""

    kind: str
    name: str
    size_bytes: int
    sha256: str
    resources: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Need:
    """Something that a version can't do without. `listing` is where it is had; empty: nobody offers it, so it is named as missing."""

    what: str  # graph, weights, pack
    name: str
    listing: str = ""
    available: bool = True  # on this server


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version to be written. `definition` is what `definition.define` made."""

    version: str
    changelog: str = ""
    definition: bytes | None = None
    content: Mapping[str, Any] = field(default_factory=dict)
    files: Sequence[StoredFile] = ()
    requires: Sequence[Need] = ()
