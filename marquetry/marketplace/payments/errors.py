"""What can go wrong with payments."""

from __future__ import annotations

from marquetry.marketplace.errors import Conflict, MarketError, Missing, NotConfigured


class PaymentsNotConfigured(NotConfigured):
    """No provider has keys for that; `details` has `settings`: what is missing. The code is that of the kind."""


class ProviderFailed(Conflict):
    """The provider refused or can't be reached. `unknown`: it may have happened, so the same is to be asked again."""

    code = "provider_failed"

    def __init__(self, message: str, *, unknown: bool = False, **details: object) -> None:
        super().__init__(message, unknown=unknown, **details)
        self.unknown = unknown


class InvalidSignature(MarketError):
    """A webhook is not from the provider, or is too old."""

    code = "invalid_signature"


class UnknownPack(Missing):
    """There is no pack of that name, or not in that currency."""

    code = "pack_not_found"


class OrderKeyReused(Conflict):
    """The idempotency key has been used for another order."""

    code = "idempotency_conflict"


class UnknownOrder(Missing):
    """There is no such order, or it is another's."""

    code = "order_not_found"


class UnknownPayment(Missing):
    """There is no such payment, or it is another's."""

    code = "payment_not_found"


class UnknownInvoice(Missing):
    """There is no such invoice, or it is another's."""

    code = "invoice_not_found"


class RefundTooLarge(Conflict):
    """A refund asks for more than is left of the payment."""

    code = "refund_exceeded"


class SubscriptionExists(Conflict):
    """There is a paid subscription already: it can be changed, or canceled."""

    code = "subscription_exists"


class NoSubscription(Missing):
    """The caller has no paid subscription."""

    code = "subscription_not_found"


class NoPayoutAccount(Conflict):
    """The creator has no account for payouts, or it is not ready."""

    code = "no_payout_account"


class InvalidBilling(MarketError):
    """Something in what is asked of payments can't be."""

    code = "invalid_payment"


class NotSupported(Conflict):
    """The provider has no such thing."""

    code = "not_supported"


class UnknownPayoutAccount(Missing):
    """The caller has not begun to set up an account for payouts."""

    code = "payout_account_not_found"
