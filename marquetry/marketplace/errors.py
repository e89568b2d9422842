"""What can go wrong in the market. A room's own errors derive from one of these kinds; the kind decides the HTTP status."""

from __future__ import annotations


class MarketError(Exception):
    """Base of every error that the market raises on purpose."""

    code = "invalid_request"

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class Unauthenticated(MarketError):
    """The caller has not shown who they are."""

    code = "unauthenticated"


class PaymentRequired(MarketError):
    """There are not enough credits."""

    code = "payment_required"


class NotAllowed(MarketError):
    """The caller may not do that."""

    code = "forbidden"


class Missing(MarketError):
    """There is nothing of that name, or it is not the caller's."""

    code = "not_found"


class Conflict(MarketError):
    """It can't be done in the state that things are in."""

    code = "conflict"


class TooManyRequests(MarketError):
    """The caller has asked too often; `details` has `retry_after_s`."""

    code = "rate_limited"


class NotConfigured(MarketError):
    """The operator has not set up what this needs."""

    code = "not_configured"
