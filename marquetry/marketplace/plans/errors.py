"""What can go wrong with plans."""

from __future__ import annotations

from marquetry.marketplace.errors import Conflict, Missing, NotAllowed, NotConfigured


class UnknownPlan(Missing):
    """There is no plan of that name."""

    code = "plan_not_found"


class InvalidPlan(NotConfigured):
    """A file of plans says something that can't be; the message names file, plan and field."""

    code = "invalid_plan"


class NotInPlan(NotAllowed):
    """The owner's plan does not have it. `details` has `plan`, `entitlement`, `limit`, `asked` and `upgrade`: the plans that have it."""

    code = "not_in_plan"


class QuotaUsedUp(NotInPlan):
    """What the plan allows in a month is used up; `details` as of NotInPlan."""

    code = "quota_used_up"


class SubscriptionClosed(Conflict):
    """The subscription is over, so it can't be changed."""

    code = "subscription_closed"


class QuotaTaken(Conflict):
    """Another submission took what was left of a quota since the quote was made."""

    code = "quota_taken"
