"""Royalties: what a node owes to the listings whose weights, graphs or packs it draws upon, and how each is divided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from sqlalchemy import Connection

Mode: TypeAlias = Literal["per_use", "owned", "free"]
MODES: tuple[Mode, ...] = ("per_use", "owned", "free")


@dataclass(frozen=True, slots=True)
class RoyaltyLine:
    """One use of one listing. `owned`: the owner bought or subscribed to it, so the amount is 0; `free`: it is free for everybody.

    `resource` is the content hash that led to the listing, `listing_type` (`lora`, `workflow`, `style_premium`, ...) decides the split.
    """

    listing: str
    creator: str
    listing_type: str
    mode: Mode
    amount_microcredits: int
    resource: str = ""


class RoyaltyBook(Protocol):
    """Knows which resources are of which listings."""

    def lines(self, resources: Sequence[str], owner: str, now_ms: int) -> tuple[RoyaltyLine, ...]:
        """What one use of these resources by `owner` owes at that time: at most one line for each listing; what is of none owes nothing."""
        ...


RoyaltySource: TypeAlias = "Callable[[Connection], RoyaltyBook]"
"""Gives the book as a transaction sees it."""


class NoRoyalties:
    """A market without listings."""

    def lines(self, resources: Sequence[str], owner: str, now_ms: int) -> tuple[RoyaltyLine, ...]:
        return ()


def no_royalties(connection: Connection) -> RoyaltyBook:
    """The source of a market without listings."""
    return NoRoyalties()
