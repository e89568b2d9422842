"""Pictures, texts and other material to train on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marquetry.marketplace.listings.kinds.kind import FILES, Content, Kind, text, whole
from marquetry.marketplace.listings.kinds.kind import only as only_texts


def check(given: Mapping[str, Any]) -> Content:
    items = whole(given, "items", 0, 10**9, 0)
    texts = only_texts({name: value for name, value in given.items() if name != "items"}, ("format", "source"))
    return {**texts, "items": items, "format": text(given, "format")}


KIND = Kind(
    "dataset", "dataset", files="needed", folders=(FILES,), pricings=("free", "one_time", "subscription"), content=check, used_by_jobs=False,
    fields={"items": "how many there are", "format": "how they are laid out", "source": "where they come from"},
)  # fmt: skip
