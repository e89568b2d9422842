"""Accounts: whose credits, of which kind, in which shard. What is owed to somebody counts up, what the platform has elsewhere counts down."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from functools import lru_cache

from marquetry.marketplace.ledger.tables import SHARDS

PLATFORM = ""
"""The owner of the platform's accounts."""


class Kind(StrEnum):
    """Kinds of accounts.

    People: `paid` (bought), `granted` (given), `held` (set aside for runs). Creators: `accrued` (earned; below zero when a refund took back
    what had been paid out), `payable` (on its way). Platform: `revenue`; `promotion` (minus what was given away); `clearing` (minus what
    payment providers have or had of people's money); `bank` (plus what was paid out).
    """

    PAID = "paid"
    GRANTED = "granted"
    HELD = "held"
    ACCRUED = "accrued"
    PAYABLE = "payable"
    REVENUE = "revenue"
    PROMOTION = "promotion"
    CLEARING = "clearing"
    BANK = "bank"


NEVER_NEGATIVE = frozenset({Kind.PAID, Kind.GRANTED, Kind.HELD, Kind.PAYABLE})


@lru_cache(maxsize=16_384)
def shard_of(owner: str) -> int:
    """The shard in which all of a person's own credits are."""
    return int.from_bytes(hashlib.sha256(owner.encode()).digest()[:4]) % SHARDS
