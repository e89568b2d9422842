"""Subscription: one listener's place in the feed. Of what it has not read yet, only the newest progress of each node, and the newest length of the queue, are kept."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

from marquetry.engine.events import NodeFinished, NodeProgress, NodeStarted
from marquetry.server.jobs.message import FeedMessage, Gap, PackMessage, QueueChanged

if TYPE_CHECKING:
    from marquetry.server.jobs.feed import Feed

QUEUE = ("", "")


class Subscription:
    """An asynchronous iterator over messages; `batch` gives all that wait at once.

    When more than `pending_messages` wait, the starts of nodes that are done by now are dropped; when that is not enough, so are the
    oldest messages, and a Gap stands in their place. Kinds of events in `without` are not heard.
    """

    def __init__(
        self,
        feed: Feed,
        client_id: str | None,
        job_id: str | None,
        owner: str | None,
        pending_messages: int,
        without: frozenset[type] = frozenset(),
    ) -> None:
        self.client_id = client_id
        self.job_id = job_id
        self.owner = owner
        self._filters = (client_id is not None) + (job_id is not None) + (owner is not None)
        self._feed = feed
        self._limit = pending_messages
        self._without = without
        self._pending: list[FeedMessage | None] = []
        self._newest: dict[tuple[str, str], int] = {}  # where in `_pending` the newest progress of a node is, by job and node
        self._read: list[FeedMessage] = []  # reversed: what `__anext__` took and has not given yet
        self._waiter: asyncio.Future[None] | None = None
        self.closed = False

    def wants(self, message: FeedMessage) -> bool:
        """Whether the message fits all filters. What concerns no job concerns everybody, but what packs say to all is not for one owner."""
        job_id = getattr(message.event, "job_id", None)
        if job_id is None:  # what packs tell everybody may concern one owner's job
            return self.owner is None or type(message.event) is not PackMessage or message.event.to is not None
        return (
            (self.client_id is None or self.client_id == message.client_id)
            and (self.job_id is None or self.job_id == job_id)
            and (self.owner is None or self.owner == message.owner)
        )

    def offer(self, message: FeedMessage) -> None:
        """Take a message from the feed."""
        if self._filters > 1 and not self.wants(message):  # the feed looked at one filter already
            return
        event = message.event
        kind = type(event)
        if kind in self._without:
            return
        if kind is NodeProgress:
            message = self._conflate(message, event)  # type: ignore[arg-type]
        elif kind is QueueChanged:
            self._replace(QUEUE)
        self._pending.append(message)
        if len(self._pending) > self._limit:
            self._shrink()
        if self._waiter is not None:
            self._wake()

    def resume(self, since: int) -> None:
        """Start again after the message of that number; what is not remembered is a Gap."""
        complete, messages = self._feed.remembered(since)
        self._clear()
        self._read.clear()
        if not complete:
            self._pending.append(FeedMessage(since, Gap()))
        for message in messages:
            if self.wants(message):
                self.offer(message)

    def take(self) -> list[FeedMessage]:
        """What waits now, in order of numbers; possibly nothing."""
        taken = [message for message in self._pending if message is not None]
        self._clear()
        return taken

    async def batch(self, timeout_s: float | None = None) -> list[FeedMessage]:
        """Everything that waits, at least one message; empty when the subscription was closed, or after `timeout_s` without a message."""
        if not self._pending and not self.closed:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = None if timeout_s is None else loop.call_later(timeout_s, self._wake)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        return self.take()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> FeedMessage:
        if not self._read:
            self._read = (await self.batch())[::-1]
        if not self._read:
            raise StopAsyncIteration
        return self._read.pop()

    def close(self) -> None:
        """Hear nothing more; who waits in `batch` gets an empty list."""
        self.closed = True
        self._feed.remove(self)
        self._clear()
        self._wake()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _conflate(self, message: FeedMessage, event: NodeProgress) -> FeedMessage:
        older = self._replace((event.job_id, event.node_id))
        if older is not None and event.preview is None and isinstance(older.event, NodeProgress) and older.event.preview is not None:
            kept = msgspec.structs.replace(event, preview=older.event.preview, preview_format=older.event.preview_format)
            return FeedMessage(message.seq, kept, message.owner, message.client_id)
        return message

    def _replace(self, key: tuple[str, str]) -> FeedMessage | None:
        """Take away what waits under a key; what comes next stands for it."""
        place = self._newest.get(key)
        self._newest[key] = len(self._pending)
        if place is None:
            return None
        older = self._pending[place]
        self._pending[place] = None
        return older

    def _shrink(self) -> None:
        """Of nodes that are done, only that is kept; what is still too much is dropped, the oldest first."""
        waiting = self.take()
        done = {(message.event.job_id, message.event.node_id) for message in waiting if type(message.event) is NodeFinished}
        waiting = [
            message
            for message in waiting
            if type(message.event) is not NodeStarted or (message.event.job_id, message.event.node_id) not in done
        ]
        if len(waiting) > self._limit * 3 // 4:
            lost = waiting[-(self._limit // 2) - 1]
            waiting = [FeedMessage(lost.seq, Gap()), *waiting[-(self._limit // 2) :]]
        self._pending.extend(waiting)
        for place, message in enumerate(waiting):
            if type(message.event) is NodeProgress:
                self._newest[message.event.job_id, message.event.node_id] = place
            elif type(message.event) is QueueChanged:
                self._newest[QUEUE] = place

    def _clear(self) -> None:
        self._pending = []
        self._newest.clear()
