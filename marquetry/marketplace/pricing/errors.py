"""What can go wrong with prices."""

from __future__ import annotations

from marquetry.marketplace.errors import MarketError, Missing, NotConfigured


class InvalidBook(NotConfigured):
    """A price book's file says something that can't be a price; the message names file, row and field."""

    code = "invalid_price_book"


class UnknownBook(Missing):
    """There is no price book of that name."""

    code = "price_book_not_found"


class UnknownOperation(NotConfigured):
    """No book has a price for an operation at that time."""

    code = "operation_without_price"


class UnknownWeights(MarketError):
    """A node names its weights by a link, so nobody knows before the run what they cost."""

    code = "weights_not_named"
