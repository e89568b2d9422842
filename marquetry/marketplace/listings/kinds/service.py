"""Work that the creator does for somebody, agreed upon before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marquetry.marketplace.listings.kinds.kind import Content, Kind, only, text, whole


def check(given: Mapping[str, Any]) -> Content:
    text(given, "offer", needed=True)
    texts = only({name: value for name, value in given.items() if name not in ("delivery_days", "revisions")}, ("offer", "needs"))
    return {**texts, "delivery_days": whole(given, "delivery_days", 1, 365, 7), "revisions": whole(given, "revisions", 0, 100, 1)}


KIND = Kind(
    "service", "service", pricings=("one_time", "subscription"), content=check, used_by_jobs=False,
    fields={"offer": "what is done", "needs": "what is needed for it", "delivery_days": "days it takes", "revisions": "changes included"},
)  # fmt: skip
