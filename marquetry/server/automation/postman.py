"""Postman: sends what is due to receivers, a few at a time for each, so that one who is slow or hostile keeps nobody else waiting."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from marquetry.server.automation.deliveries import PER_OWNER, PER_WEBHOOK, Claim, Claimed, Outcome, claim_due, next_due_ms, settle
from marquetry.server.automation.signing import signed_headers
from marquetry.server.database.database import Database, one_by_one
from marquetry.server.errors import ServerError
from marquetry.server.http.outbound import send
from marquetry.server.jobs.live import now_ms
from marquetry.server.jobs.token import lease_token

logger = logging.getLogger(__name__)
AT_ONCE = 64
TIMEOUT_S = 15.0
CLAIM_MS = 60_000
LOOK_AGAIN_S = 30.0
GONE = 410
_settle = one_by_one(settle)


class Postman:
    """Runs until it is stopped. `clock` gives milliseconds since the epoch."""

    def __init__(
        self, database: Database, private_hosts: tuple[str, ...] = (), *, clock: Callable[[], int] = now_ms, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._database = database
        self._private_hosts = private_hosts
        self._clock = clock
        self._timeout_s = timeout_s
        self._wake = asyncio.Event()
        self._under_way: dict[asyncio.Task[None], Claimed] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """What is under way is left; it is sent again after the next start."""
        tasks = [task for task in (self._task, *self._under_way) if task is not None]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    def wake(self) -> None:
        """Something may be due."""
        self._wake.set()

    async def send_due(self) -> int:
        """Begin to send what is due; how many messages."""
        room = AT_ONCE - len(self._under_way)
        if room <= 0:
            return 0
        webhooks = Counter(claimed.webhook_id for claimed in self._under_way.values())
        owners = Counter(claimed.owner for claimed in self._under_way.values())
        now = self._clock()
        claim = Claim(
            lease_token(),
            now,
            now + CLAIM_MS + int(self._timeout_s * 1000),
            room,
            tuple(id for id, count in webhooks.items() if count >= PER_WEBHOOK),
            tuple(owner for owner, count in owners.items() if count >= PER_OWNER),
        )
        found = await self._database.write(claim_due, claim)
        for claimed in found:
            task = asyncio.create_task(self._deliver(claimed, claim.token))
            self._under_way[task] = claimed
            task.add_done_callback(self._done)
        return len(found)

    async def idle(self) -> None:
        """Return when nothing is under way."""
        while self._under_way:
            await asyncio.wait(self._under_way)
            await asyncio.sleep(0)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.pop(task, None)
        if not task.cancelled() and task.exception() is not None:
            logger.error("a webhook's message could not be settled: %s", task.exception())
        self.wake()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            pause_s = LOOK_AGAIN_S
            try:
                if not await self.send_due():
                    due = await self._database.read(next_due_ms)
                    if due is not None and len(self._under_way) < AT_ONCE:
                        least_s = 1.0 if self._under_way else 0.1  # what is due may belong to a receiver that is busy; its end wakes
                        pause_s = min(max((due - self._clock()) / 1000, least_s), LOOK_AGAIN_S)
                else:
                    pause_s = 0.0
            except Exception:  # the database may be away for a while
                logger.exception("messages to webhooks could not be looked up")
            if pause_s:
                with suppress(TimeoutError):  # not wait_for: before Python 3.12 it may swallow a cancellation
                    async with asyncio.timeout(pause_s):
                        await self._wake.wait()

    async def _deliver(self, claimed: Claimed, token: str) -> None:
        began = self._clock()
        headers = {"Content-Type": "application/json", **signed_headers(claimed.id, began // 1000, claimed.body, claimed.secrets)}
        status, error, retry_after_s = None, None, 0.0
        try:
            sent = await send(claimed.url, claimed.body, headers, timeout_s=self._timeout_s, allow=self._private_hosts)
            status = sent.status
            if not 200 <= status < 300:
                error = f"it answered with status {status}"
                retry_after_s = float(sent.retry_after) if sent.retry_after.isdecimal() and len(sent.retry_after) < 9 else 0.0
        except ServerError as refusal:
            error = refusal.message
        except Exception as fault:  # whatever a receiver provokes is its own failure
            logger.exception("a webhook's message could not be sent")
            error = f"it could not be sent: {type(fault).__name__}"
        now = self._clock()
        outcome = Outcome(
            claimed.id,
            token,
            now,
            now - began,
            error is None,
            status,
            None if error is None else error[:500],
            retry_after_s,
            status == GONE,
        )
        await self._database.write(_settle, outcome)
