"""What can go wrong with metering."""

from __future__ import annotations

from marquetry.marketplace.errors import MarketError, Missing


class UnreadableTerms(MarketError):
    """The database holds terms that this version does not know."""

    code = "unreadable_terms"


class NoReceipt(Missing):
    """The job was not charged for: it is not the caller's, or the market was off."""

    code = "receipt_not_found"
