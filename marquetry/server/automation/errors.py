"""What can go wrong with batches, schedules and webhooks."""

from __future__ import annotations

from marquetry.server.http.errors import NotFound, RequestError


class AutomationError(RequestError):
    """Base of the errors of this room."""

    code = "invalid_request"


class NoSuchWebhook(NotFound):
    """There is no such webhook, or it is another's."""

    code = "webhook_not_found"


class NoSuchDelivery(NotFound):
    """There is no such delivery, or it is another's."""

    code = "delivery_not_found"


class NoSuchBatch(NotFound):
    """There is no such batch, or it is another's."""

    code = "batch_not_found"


class NoSuchSchedule(NotFound):
    """There is no such schedule, or it is another's."""

    code = "schedule_not_found"


class TooMany(AutomationError):
    """The owner's plan allows no more of these."""

    code = "limit_reached"


class WrongTime(AutomationError):
    """A cron expression, a time zone, a moment or an hour that can't be used."""

    code = "invalid_schedule"


class WrongInputs(AutomationError):
    """Inputs of a batch that don't fit its graph; `details` names each."""

    code = "invalid_inputs"
