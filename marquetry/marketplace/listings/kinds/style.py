"""A style: words for prompts, with weights or a graph that go with them. A premium style divides its earnings by a rule of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marquetry.marketplace.listings.errors import InvalidListing
from marquetry.marketplace.listings.kinds.kind import Content, Kind, only


def check(given: Mapping[str, Any]) -> Content:
    premium = given.get("premium", False)
    if type(premium) is not bool:
        raise InvalidListing("content.premium is true or false", field="content.premium")
    return {**only({name: value for name, value in given.items() if name != "premium"}, ("prompt", "negative")), "premium": premium}


KIND = Kind(
    "style", "style", graph="optional", files="optional", folders=("loras", "embeddings", "style_models"), content=check,
    split_of=lambda content: "style_premium" if content.get("premium") else "style",
    fields={"prompt": "words that are put around a prompt at {prompt}", "negative": "words to keep away", "premium": "true or false"},
)  # fmt: skip
