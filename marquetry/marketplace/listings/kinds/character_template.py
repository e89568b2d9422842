"""A character to use in stories: how it looks and is, with weights or a graph that draw it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marquetry.marketplace.listings.kinds.kind import FILES, Content, Kind, only, text


def check(given: Mapping[str, Any]) -> Content:
    text(given, "appearance", needed=True)
    return only(given, ("appearance", "personality", "prompt", "negative"))


KIND = Kind(
    "character_template", "character template", graph="optional", files="optional", folders=("loras", "embeddings", FILES), content=check,
    fields={"appearance": "how it looks", "personality": "how it is", "prompt": "words for prompts", "negative": "words to keep away"},
)  # fmt: skip
