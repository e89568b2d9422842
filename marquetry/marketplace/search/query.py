"""What is asked of a search, and what it gives."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import orjson

from marquetry.marketplace.errors import MarketError

if TYPE_CHECKING:
    from sqlalchemy import Connection

Sort: TypeAlias = Literal["relevance", "trending", "new", "most_used", "price", "price_desc"]
MAX_PAGE = 100
MAX_DEPTH = 1000  # of results by relevance, and of what facets count


class InvalidSearch(MarketError):
    """What is asked can't be searched for."""

    code = "invalid_search"


@dataclass(frozen=True, slots=True)
class Query:
    """`words` are all to be found, `tags` and `base_models` each held. `cursor` is what the page before gave."""

    words: str = ""
    kinds: Sequence[str] = ()
    tags: Sequence[str] = ()
    base_models: Sequence[str] = ()
    category: str = ""
    creator: str = ""
    pricings: Sequence[str] = ()
    downloadable: bool | None = None
    min_stars: int = 0
    sort: Sort = "trending"
    limit: int = 20
    cursor: str = ""
    facets: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """Ids of listings in their order. `facets`: how many of the first thousand have which value; `cursor`: where the next page begins."""

    ids: tuple[str, ...]
    cursor: str = ""
    facets: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


class Search(Protocol):
    """An engine that finds listings. What it gives may be late; whoever shows listings reads them from the database."""

    def find(self, connection: Connection, query: Query) -> Found:
        """Raises InvalidSearch."""
        ...


def cursor_of(*place: int | str) -> str:
    """A place in the results, for who asks to go on from there."""
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def place_of(cursor: str, parts: int) -> list[int]:
    """The inverse of `cursor_of`, for numbers. Raises InvalidSearch."""
    try:
        place = orjson.loads(base64.urlsafe_b64decode(cursor[:400] + "=" * (-len(cursor[:400]) % 4)))
    except (binascii.Error, ValueError) as error:
        raise InvalidSearch("the cursor is none that was given; begin without one") from error
    if not isinstance(place, list) or len(place) != parts or any(type(part) is not int or abs(part) >= 2**63 for part in place):
        raise InvalidSearch("the cursor is of another search; begin without one")
    return place
