"""Feed: numbered events to whoever listens, within the server's event loop. A slow listener costs bounded memory and nobody else's time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence

from marquetry.server.jobs.message import FeedEvent, FeedMessage, Gap, PackMessage, QueueChanged
from marquetry.server.jobs.subscription import Subscription


class Feed:
    """Publishes to subscriptions. Not thread-safe: it belongs to one event loop.

    Numbers grow within a process and across restarts. The last `memory_messages` messages can be heard again by number.
    """

    def __init__(self, *, memory_messages: int = 4096, pending_messages: int = 16384) -> None:
        self._seq = int(time.time() * 1000) * 1000
        self._memory: deque[FeedMessage] = deque(maxlen=memory_messages)
        self._forgotten = self._seq  # the number of the newest message that can't be heard again
        self._pending_messages = pending_messages
        self._everything: set[Subscription] = set()
        self._by_client: dict[str, set[Subscription]] = {}
        self._by_job: dict[str, set[Subscription]] = {}
        self._by_owner: dict[str, set[Subscription]] = {}

    @property
    def seq(self) -> int:
        """The number of the newest message."""
        return self._seq

    def subscribe(
        self,
        *,
        client_id: str | None = None,
        job_id: str | None = None,
        owner: str | None = None,
        since: int | None = None,
        without: frozenset[type] = frozenset(),
    ) -> Subscription:
        """Listen to one client's, one job's or one owner's events, or without a filter to all. What several filters name must all fit.

        `since` replays what came after that number; when that is not remembered, a Gap comes first. Events of the kinds `without` are
        left out.
        """
        subscription = Subscription(self, client_id, job_id, owner, self._pending_messages, without)
        if since is not None:
            subscription.resume(since)
        self._group(subscription).add(subscription)
        return subscription

    def publish(self, event: FeedEvent, *, owner: str = "", client_id: str = "") -> None:
        """Number the event and hand it to all whom it concerns. `owner` and `client_id` are those of its job."""
        self.publish_all((event,), owner=owner, client_id=client_id)

    def publish_all(self, events: Sequence[FeedEvent], *, owner: str = "", client_id: str = "") -> None:
        """As `publish`, for events of one job, in their order."""
        if not events:
            return
        memory = self._memory
        listeners = self._listeners(events[0], owner, client_id)
        for event in events:
            self._seq += 1
            message = FeedMessage(self._seq, event, owner, client_id)
            if len(memory) == memory.maxlen:
                self._forgotten = memory[0].seq
            memory.append(message)
            for group in listeners:
                for subscription in group:
                    subscription.offer(message)

    def remembered(self, since: int) -> tuple[bool, Iterable[FeedMessage]]:
        """Whether all that came after a number is remembered, and what is."""
        if since > self._seq:
            return False, tuple(self._memory)
        return since >= self._forgotten, (message for message in self._memory if message.seq > since)

    def remove(self, subscription: Subscription) -> None:
        """Forget a subscription; its own `close` calls this."""
        groups, key = self._place(subscription)
        if groups is None:
            self._everything.discard(subscription)
        elif key in groups:
            groups[key].discard(subscription)
            if not groups[key]:
                del groups[key]

    def _listeners(self, event: FeedEvent, owner: str, client_id: str) -> list[set[Subscription]]:
        if isinstance(event, PackMessage) and event.to is not None:
            return [self._everything, self._by_client.get(event.to, set())]
        if isinstance(event, (QueueChanged, PackMessage, Gap)):
            return [self._everything, *self._by_client.values(), *self._by_job.values(), *self._by_owner.values()]
        found = [self._everything] if self._everything else []
        if self._by_job and (group := self._by_job.get(event.job_id)):
            found.append(group)
        if self._by_client and client_id and (group := self._by_client.get(client_id)):
            found.append(group)
        if self._by_owner and (group := self._by_owner.get(owner)):
            found.append(group)
        return found

    def _group(self, subscription: Subscription) -> set[Subscription]:
        groups, key = self._place(subscription)
        return self._everything if groups is None else groups.setdefault(key, set())

    def _place(self, subscription: Subscription) -> tuple[dict[str, set[Subscription]] | None, str]:
        if subscription.job_id is not None:
            return self._by_job, subscription.job_id
        if subscription.client_id is not None:
            return self._by_client, subscription.client_id
        if subscription.owner is not None:
            return self._by_owner, subscription.owner
        return None, ""
