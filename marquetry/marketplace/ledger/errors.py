"""What can go wrong with credits."""

from __future__ import annotations

from marquetry.marketplace.errors import Conflict, MarketError, Missing, PaymentRequired


class InvalidEntry(MarketError):
    """An amount, a name or a text that the ledger can't take."""

    code = "invalid_entry"


class InsufficientCredits(PaymentRequired):
    """There are fewer credits than are needed; `details` has `balance` and `required` in micro-credits."""

    code = "insufficient_credits"


class KeyReused(Conflict):
    """The idempotency key has been used for something else."""

    code = "idempotency_conflict"


class UnknownHold(Missing):
    """Nothing was ever held for that run."""

    code = "hold_not_found"


class HoldClosed(Conflict):
    """The hold was released or has expired."""

    code = "hold_closed"


class HoldExceeded(Conflict):
    """A capture asks for more than is left of the hold."""

    code = "hold_exceeded"


class TooManyHolds(Conflict):
    """The owner has as many open holds as are allowed."""

    code = "too_many_holds"


class UnknownCapture(Missing):
    """Nothing was captured for that run, node and kind."""

    code = "capture_not_found"


class RefundExceeded(Conflict):
    """A refund asks for more than is left of the capture."""

    code = "refund_exceeded"


class InsufficientEarnings(Conflict):
    """The creator has earned less than the payout."""

    code = "insufficient_earnings"


class UnknownPayout(Missing):
    """There is no payout of that key."""

    code = "payout_not_found"


class PayoutClosed(Conflict):
    """The payout was settled or cancelled before."""

    code = "payout_closed"
