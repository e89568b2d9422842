"""A pack of nodes, as its source: an archive, or the place where it is developed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from marquetry.marketplace.listings.errors import InvalidListing
from marquetry.marketplace.listings.kinds.kind import FILES, Content, Kind, only, text

REPOSITORY = re.compile(r"https://[A-Za-z0-9.-]{1,253}/[A-Za-z0-9._~/-]{1,500}")


def check(given: Mapping[str, Any]) -> Content:
    content = only(given, ("repository", "install", "nodes"))
    repository = text(given, "repository")
    if repository and REPOSITORY.fullmatch(repository) is None:
        raise InvalidListing("content.repository is an https address without query", field="content.repository")
    return content


KIND = Kind(
    "pack", "node pack", files="optional", folders=(FILES,), pricings=("free", "one_time", "subscription"), content=check, used_by_jobs=False,
    fields={"repository": "where it is developed", "install": "how to install it", "nodes": "what it adds"},
)  # fmt: skip
