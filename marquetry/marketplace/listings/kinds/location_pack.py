"""Places to set stories in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marquetry.marketplace.listings.kinds.kind import FILES, Content, Kind, only, text


def check(given: Mapping[str, Any]) -> Content:
    text(given, "places", needed=True)
    return only(given, ("places", "prompt", "negative"))


KIND = Kind(
    "location_pack", "location pack", graph="optional", files="optional", folders=("loras", "embeddings", FILES), content=check,
    split_of=lambda content: "background_pack",
    fields={"places": "the places, one a line", "prompt": "words for prompts", "negative": "words to keep away"},
)  # fmt: skip
