"""Automation: batches, schedules and webhooks of one server, as handlers find them."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from marquetry.server.automation.batching import Batching
from marquetry.server.automation.herald import Herald
from marquetry.server.automation.market import JobPricing
from marquetry.server.automation.postman import Postman
from marquetry.server.automation.scheduler import Scheduler
from marquetry.server.check import GraphCheck
from marquetry.server.configuration.automation import AutomationSettings
from marquetry.server.jobs.live import now_ms
from marquetry.server.jobs.service import JobService


class Automation:
    """Whoever puts messages to webhooks in the post, with `webhooks.tell` in a transaction of their own, calls `postman.wake` after it."""

    def __init__(self, jobs: JobService, check: GraphCheck, settings: AutomationSettings, *, clock: Callable[[], int] = now_ms) -> None:
        self.settings = settings
        self.postman = Postman(jobs.database, settings.private_hosts, clock=clock)
        self.herald = Herald(jobs.database, self.postman.wake, clock=clock)
        self.scheduler = Scheduler(jobs, check, settings, self.postman.wake, clock=clock)
        self.batching = Batching(jobs, check)
        self.pricing: JobPricing | None = None
        self._jobs = jobs

    async def start(self) -> None:
        """The queue is there by now."""
        self._jobs.hear_ends(self.herald.hear)
        await self.herald.start()
        self.postman.start()
        self.scheduler.start()

    async def stop(self) -> None:
        await self.scheduler.stop()
        await self.postman.stop()
        await self.herald.stop()


AUTOMATION = web.AppKey("automation", Automation)
