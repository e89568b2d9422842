"""Kinds of listings, one file each, found by scanning. A kind says what its versions hold and how earnings by it are divided."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache

from marquetry.marketplace.listings.errors import InvalidListing
from marquetry.marketplace.listings.kinds.kind import Kind


@cache
def kinds() -> Mapping[str, Kind]:
    """All kinds by their ids."""
    found: dict[str, Kind] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        kind = getattr(importlib.import_module(f"{__name__}.{module.name}"), "KIND", None)
        if isinstance(kind, Kind):
            found[kind.id] = kind
    return found


def kind_of(id: str) -> Kind:
    """Raises InvalidListing for an unknown kind."""
    kind = kinds().get(id)
    if kind is None:
        raise InvalidListing(f"there is no kind of listing '{id[:32]}'; use one of {', '.join(sorted(kinds()))}", field="kind")
    return kind
