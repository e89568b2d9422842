"""What can go wrong with listings."""

from __future__ import annotations

from marquetry.marketplace.errors import Conflict, MarketError, Missing, NotAllowed, NotConfigured, PaymentRequired


class InvalidListing(MarketError):
    """What a listing says of itself is not as it must be; `details` has `field`."""

    code = "invalid_listing"


class ListingMissing(Missing):
    """There is no such listing or version, or it is not the caller's to see."""

    code = "listing_not_found"


class CreatorMissing(Missing):
    """Nobody has that handle, or the caller has not chosen one."""

    code = "creator_not_found"


class NameTaken(Conflict):
    """The handle, slug or version is taken."""

    code = "name_taken"


class WrongState(Conflict):
    """It can't be done with a listing or version in the state that it is in."""

    code = "wrong_listing_state"


class NotTheirs(NotAllowed):
    """Only its creator may do that."""

    code = "not_the_creator"


class NotDownloadable(NotAllowed):
    """It may be used here and not be taken away."""

    code = "not_downloadable"


class NotEntitled(PaymentRequired):
    """It has to be bought or subscribed to first; `details` has `listing`, `mode` and the price."""

    code = "not_entitled"


class AlreadyOwned(Conflict):
    """It was bought before."""

    code = "already_owned"


class CouponRefused(MarketError):
    """The coupon is unknown, over, used up or for something else."""

    code = "coupon_refused"


class MayNotReview(NotAllowed):
    """Only who ran or bought it may review it, and never its creator."""

    code = "may_not_review"


class PayoutsNotConfigured(NotConfigured):
    """No way of transfer is set up for that."""

    code = "payouts_not_configured"


class PayoutTooSmall(Conflict):
    """Less is earned than the least that is paid out."""

    code = "payout_too_small"


class PrivateWeights(NotAllowed):
    """Weights that may only be used by jobs would leave, or are not the caller's to use."""

    code = "private_weights"
