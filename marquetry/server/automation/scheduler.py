"""Scheduler: runs schedules at their times, each firing once, and decides what becomes of firings that nobody was there for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from zoneinfo import ZoneInfo

import orjson

from marquetry.engine.errors import EngineError
from marquetry.marketplace.errors import MarketError
from marquetry.server.automation import schedules
from marquetry.server.automation.errors import WrongTime
from marquetry.server.automation.schedules import AlreadyFired, Firing, Schedule, due_schedules
from marquetry.server.automation.timing import Hours, hours_of, next_firing, upcoming, within, zone_of
from marquetry.server.check import GraphCheck
from marquetry.server.configuration.automation import AutomationSettings
from marquetry.server.database.database import one_by_one
from marquetry.server.errors import ServerError
from marquetry.server.jobs.errors import WorkerUnavailable
from marquetry.server.jobs.job import Submission
from marquetry.server.jobs.live import now_ms
from marquetry.server.jobs.service import JobService
from marquetry.server.jobs.token import job_id as new_job_id

logger = logging.getLogger(__name__)
LOOK_AGAIN_S = 15.0  # other servers make schedules too
LATE_MS = 5 * 60_000  # a firing that is later than this was missed
PART = 50
OFF_PEAK = "off_peak"
MAX_ERROR_CHARACTERS = 500
_fire = one_by_one(schedules.fire)


class Scheduler:
    """Runs until it is stopped. `clock` gives milliseconds since the epoch; `told` is called after messages to webhooks were made."""

    def __init__(
        self,
        jobs: JobService,
        check: GraphCheck,
        settings: AutomationSettings,
        told: Callable[[], None],
        *,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._jobs = jobs
        self._check = check
        self._settings = settings
        self._told = told
        self._clock = clock
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def wake(self) -> None:
        """A schedule is another."""
        self._wake.set()

    def hours(self, during: str | None, zone: ZoneInfo) -> list[Hours]:
        """The hours that a schedule's words mean; all hours where there are none of the kind. Raises WrongTime."""
        if during is None:
            return []
        if during != OFF_PEAK:
            return [hours_of(during, zone)]
        return [hours_of(text, zone_of(self._settings.off_peak_timezone)) for text in self._settings.off_peak]

    def checked_hours(self, during: str | None, zone: ZoneInfo) -> list[Hours]:
        """As `hours`, for new schedules: those that ask for off-peak hours need some. Raises WrongTime."""
        if during == OFF_PEAK and not self._settings.off_peak:
            raise WrongTime("the operator has named no off-peak hours (setting automation.off_peak); give hours as 22:00-06:00")
        return self.hours(during, zone)

    def times(self, schedule: Schedule, after_ms: int) -> tuple[int | None, int | None]:
        """The first time after that moment which a repeated schedule names, and when it is run; nothing for one that runs once."""
        if schedule.cron is None:
            return None, None
        zone = zone_of(schedule.timezone)
        due_ms = next_firing(schedule.cron, zone, after_ms)
        return due_ms, within(self.hours(schedule.during, zone), due_ms)

    def upcoming(self, schedule: Schedule, count: int) -> list[int]:
        """The next times at which it will run."""
        if schedule.state != schedules.ACTIVE or schedule.next_ms is None:
            return []
        if schedule.cron is None or schedule.due_ms is None:
            return [schedule.next_ms]
        zone = zone_of(schedule.timezone)
        return upcoming(schedule.cron, zone, self.hours(schedule.during, zone), schedule.due_ms - 1, count)

    async def fire_due(self) -> int | None:
        """Run what is due; when the next is."""
        due, later = await self._jobs.database.read(due_schedules, self._clock(), PART)
        await asyncio.gather(*(self._guarded(schedule) for schedule in due))
        return self._clock() if len(due) == PART else later

    async def _guarded(self, schedule: Schedule) -> None:
        try:
            await self._fire_one(schedule)
        except AlreadyFired:
            pass
        except Exception:  # of one schedule; the others go on, and it is looked at again
            logger.exception("schedule %s could not be run", schedule.id)

    async def _fire_one(self, schedule: Schedule) -> None:
        now = self._clock()
        assert schedule.next_ms is not None
        due_ms, next_ms = self.times(schedule, max(now, schedule.next_ms))
        firing = Firing(schedule, now, due_ms, next_ms)
        if now - schedule.next_ms > LATE_MS and schedule.missed == "skip":
            await self._note(replace(firing, state=schedules.MISSED, error="no server was there at its time"))
            return
        try:
            await self._submit(firing)
        except AlreadyFired:
            raise
        except WorkerUnavailable:  # it is due still, and looked at again
            logger.info("schedule %s waits for a worker that can check its graph", schedule.id)
        except (ServerError, EngineError, MarketError) as error:
            await self._note(replace(firing, state=schedules.FAILED, error=error.message[:MAX_ERROR_CHARACTERS]))

    async def _submit(self, firing: Firing) -> None:
        schedule = firing.schedule
        targets = None if schedule.targets is None else list(schedule.targets)
        checked = await self._check.check(orjson.loads(schedule.graph), targets, schedule.owner)
        if checked.problems or not checked.outputs:
            reason = checked.problems[0].message if checked.problems else "it has no output"
            await self._note(
                replace(firing, state=schedules.FAILED, error=f"the graph can't run any more: {reason}"[:MAX_ERROR_CHARACTERS])
            )
            return
        taken = replace(firing, job_id=new_job_id())
        submission = Submission(
            graph=checked.graph,
            graph_json=checked.json,
            outputs=checked.outputs,
            owner=schedule.owner,
            client_id=f"schedule:{schedule.id}"[:128],
            job_id=taken.job_id,
        )
        await self._jobs.submit_together([submission], lambda connection: _take(schedules.fire(connection, taken)))
        self._told()

    async def _note(self, firing: Firing) -> None:
        if await self._jobs.database.write(_fire, firing):
            self._told()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            pause_s = LOOK_AGAIN_S
            try:
                later = await self.fire_due()
                if later is not None:
                    pause_s = min(max((later - self._clock()) / 1000, 0.05), LOOK_AGAIN_S)
            except Exception:  # the database may be away for a while; what is due stays due
                logger.exception("schedules could not be run")
            with suppress(TimeoutError):  # not wait_for: before Python 3.12 it may swallow a cancellation
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()


def _take(messages: int) -> None:
    """What is told of a firing is no concern of the queue."""
