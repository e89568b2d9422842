"""Dispatcher: leases jobs while workers have room, hands them out, and writes down how they end.

A job's last event is published after the database has its final state, so that nobody hears of an end that a crash could undo. What came
with it goes out with it: listeners of short jobs are woken once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from marquetry.engine.events import AnyEvent, JobFinished
from marquetry.engine.graph import Graph
from marquetry.server.database.database import Database
from marquetry.server.jobs.accounting import Accounting
from marquetry.server.jobs.crew import Crew
from marquetry.server.jobs.feed import Feed
from marquetry.server.jobs.graph_memory import GraphMemory
from marquetry.server.jobs.intake import Intake
from marquetry.server.jobs.job import JobState
from marquetry.server.jobs.lease import Heartbeat, Held, Leased, LeaseRequest, Loss, Lost
from marquetry.server.jobs.live import Live, ended, now_ms
from marquetry.server.jobs.loss import end_of_loss, record_of_loss
from marquetry.server.jobs.message import JobLeased, JobQueued, JobRequeued, PackMessage, QueueChanged
from marquetry.server.jobs.queue import Finish, Inserted, NewJob
from marquetry.server.jobs.together import Together
from marquetry.server.jobs.workers.worker import Worker, WorkerListener

logger = logging.getLogger(__name__)
RETRY_S = 1.0
GRACE_S = 10.0  # how long a stuck job may take to stop by itself
Result = TypeVar("Result")


class Dispatcher:
    """Lives in one event loop. `waiting` counts queued jobs as far as this process knows; the database knows for sure."""

    def __init__(self, database: Database, crew: Crew, feed: Feed, holder: str, lease_s: float) -> None:
        self._database = database
        self._crew = crew
        self._feed = feed
        self._holder = holder
        self._lease_ms = int(lease_s * 1000)
        self._leasing = False
        self._closing = False
        self._telling = False
        self._loop = asyncio.get_running_loop()
        self._intake = Intake(self._loop, self._hear)
        self._ends: dict[str, list[asyncio.Future[None]]] = {}
        self._idle: asyncio.Event = asyncio.Event()
        self.accounting = Accounting()
        self.live: dict[str, Live] = {}
        self.graphs = GraphMemory()
        self.waiting = 0
        self.grace_s = GRACE_S
        self.hearers: list[Callable[[str, str], None]] = []  # told the id and the owner of every job whose end is durable
        self.on_end: Callable[[Live], None] = lambda live: None  # hears of every job that ran to its end here
        self.changes = 0  # grows with every change of the queue that this process makes
        self._idle.set()

    def remaining(self) -> int:
        """How many jobs wait or run."""
        return self.waiting + len(self.live)

    # How jobs come

    def insert(self, new: NewJob, graph: Graph) -> asyncio.Future[Inserted]:
        """Put a job in the queue; if there is room, it is leased in the same transaction."""
        self.graphs.keep(new.id, graph)
        inserting = self._database.write(self.accounting.insert, new)
        inserting.add_done_callback(partial(self._inserted, new))
        self._lease()
        return inserting

    def insert_together(self, together: Together, graphs: Sequence[Graph]) -> asyncio.Future[None]:
        """Put several jobs in the queue, all or none."""
        for new, graph in zip(together.news, graphs, strict=True):
            self.graphs.keep(new.id, graph)
        inserting = self._database.write(self.accounting.insert_together, together)
        inserting.add_done_callback(partial(self._inserted_together, together))
        self._lease()
        return inserting

    def _inserted_together(self, together: Together, future: asyncio.Future[None]) -> None:
        if future.exception() is not None:
            for new in together.news:
                self.graphs.take(new.id)
            return
        for new in together.news:
            self._feed.publish(JobQueued(job_id=new.id, time_ms=new.created_ms), owner=new.owner, client_id=new.client_id)
        self.added(len(together.news))

    def _inserted(self, new: NewJob, future: asyncio.Future[Inserted]) -> None:
        if future.exception() is not None or future.result().existing:
            self.graphs.take(new.id)
            return
        self._feed.publish(JobQueued(job_id=new.id, time_ms=new.created_ms), owner=new.owner, client_id=new.client_id)
        self.added(1)

    def added(self, count: int) -> None:
        """The queue became longer, or shorter."""
        self.waiting = max(0, self.waiting + count)
        self._changed()
        self.offer()

    def offer(self) -> None:
        """Lease what waits, as far as there is room."""
        if self.waiting:
            self._lease()

    def _lease(self) -> None:
        if self._leasing or self._closing:
            return
        free = self._crew.free
        if free <= 0:
            return
        self._leasing = True
        now = now_ms()
        request = LeaseRequest(self._holder, free, now, now + self._lease_ms, self._crew.has_idle, self._crew.affinities)
        self._database.write(self.accounting.lease, request).add_done_callback(self._leased)

    def _leased(self, future: asyncio.Future[list[Leased]]) -> None:
        self._leasing = False
        jobs = self._outcome(future, [])
        self.waiting = max(0, self.waiting - len(jobs))
        for leased in jobs:
            self._begin(leased)
        if jobs:
            self.changes += 1
            self.offer()

    def _begin(self, leased: Leased) -> None:
        worker = self._crew.pick(alone=leased.attempts > 1, affinity=leased.affinity)
        if leased.id in self.live:  # a lease was lost, and is ours again before the run under the old one has stopped
            self._loop.call_later(RETRY_S, partial(self._give_up, (leased.token,), "its last run had not stopped", blame=False))
            return
        if worker is None or self._closing:
            self._give_up((leased.token,), "no worker had room", blame=False)
            return
        graph = self.graphs.take(leased.id)
        live = Live(leased, worker, graph, self.accounting.meter(leased))
        self.live[leased.id] = live
        self._idle.clear()
        self._crew.begin(live)
        self._feed.publish(JobLeased(job_id=leased.id, time_ms=now_ms()), owner=leased.owner, client_id=leased.client_id)
        worker.run(live.task(), graph)

    # How jobs end

    def listener(self, worker: Worker) -> WorkerListener:
        """Who hears of a worker."""
        return WorkerListener(self._intake.add, lambda reason: self._lost_worker(worker, reason), self.offer, self._say)

    def _say(self, name: str, data: bytes, client_id: str | None) -> None:
        self._feed.publish(PackMessage(name=name, data=data, to=client_id))

    def _hear(self, job_id: str, events: Sequence[AnyEvent]) -> None:
        live = self.live.get(job_id)
        if live is None or live.end is not None:
            return
        live.heard_s = time.monotonic()
        live.view.fold_all(events)
        meter = live.meter
        if meter is not None:
            meter.hear(events)
        last = events[-1]
        if type(last) is JobFinished:
            self._crew.end(live)
            if live.stuck and live.view.state is not JobState.COMPLETED:
                del self.live[job_id]
                if meter is not None:
                    meter.write()
                self._give_up((live.leased.token,), live.stuck)
                return
            live.end, live.untold = last, live.shown(events[:-1])
            self.on_end(live)
            self._finish(live, Finish(job_id, live.leased.token, live.view.state, now_ms(), live.view.encode(), _rest_of(live)))
            self.offer()
        elif shown := live.shown(events):
            self._feed.publish_all(shown, owner=live.leased.owner, client_id=live.leased.client_id)

    def _finish(self, live: Live, finish: Finish) -> None:
        def done(future: asyncio.Future[bool]) -> None:
            error = future.exception()
            events, live.untold = live.untold, ()
            if error is not None and not self._closing:
                self._feed.publish_all(events, owner=live.leased.owner, client_id=live.leased.client_id)
                logger.error("the end of job %s could not be written: %s; trying again", finish.id, error)
                self._loop.call_later(RETRY_S, self._finish, live, finish)
                return
            if self.live.get(finish.id) is live:
                del self.live[finish.id]
            if error is None and future.result():
                self._tell_end(live.end, live.leased.owner, live.leased.client_id, events)
            else:
                self._feed.publish_all(events, owner=live.leased.owner, client_id=live.leased.client_id)
                logger.warning("job %s ended here, but its lease was lost before that could be written", finish.id)
            self._changed()

        self._database.write(self.accounting.finish, finish).add_done_callback(done)

    def _tell_end(self, end: JobFinished | None, owner: str, client_id: str, before: Sequence[AnyEvent] = ()) -> None:
        if end is None:
            return
        self._feed.publish_all((*before, end), owner=owner, client_id=client_id)
        for hear in self.hearers:
            hear(end.job_id, owner)
        for waiter in self._ends.pop(end.job_id, ()):
            if not waiter.done():
                waiter.set_result(None)

    def _changed(self) -> None:
        """The queue is another: tell so, once for all that changes at this moment."""
        self.changes += 1
        if not self.live:
            self._idle.set()
        if not self._telling:
            self._telling = True
            self._loop.call_soon(self._tell)

    def _tell(self) -> None:
        self._telling = False
        self._feed.publish(QueueChanged(remaining=self.remaining()))

    def _lost_worker(self, worker: Worker, reason: str) -> None:
        self._intake.flush()
        lost = [live for live in self._crew.lose(worker) if live.end is None]
        if self._closing or not lost:
            return
        for live in lost:
            self.live.pop(live.leased.id, None)
        for live in lost:
            if live.stuck:
                self._give_up((live.leased.token,), live.stuck)
        others = tuple(live.leased.token for live in lost if not live.stuck)
        if others:
            self._give_up(others, reason, blame=len(others) == len(lost))

    def end_try(self, live: Live, reason: str) -> None:
        """A try is stuck: stop it, by force if it has to be; the job is tried again as after any loss."""
        logger.error("job %s is stuck: %s", live.leased.id, reason)
        live.stuck = reason
        live.worker.cancel(live.leased.id)
        self._loop.call_later(self.grace_s, self._force, live)

    def _force(self, live: Live) -> None:
        if self.live.get(live.leased.id) is not live or live.end is not None or self._closing or live.worker.restart():
            return
        logger.error("job %s can't be stopped here; it fails, and what it computes goes on until the server ends", live.leased.id)
        live.end, record = ended(live.leased.id, JobState.FAILED, "stuck", live.stuck, now_ms())
        self._crew.end(live)
        self._finish(live, Finish(live.leased.id, live.leased.token, JobState.FAILED, now_ms(), record, _rest_of(live)))

    def _give_up(self, tokens: tuple[str, ...], reason: str, *, blame: bool = True) -> None:
        loss = Loss(now_ms(), reason, record_of_loss, tokens=tokens, blame=blame)

        def done(future: asyncio.Future[list[Lost]]) -> None:
            if future.exception() is not None and not self._closing:
                logger.error("leases could not be given back: %s; trying again", future.exception())
                self._loop.call_later(RETRY_S, partial(self._give_up, tokens, reason, blame=blame))
                return
            jobs: list[Lost] = self._outcome(future, [])
            self.lost(jobs, reason)

        self._database.write(self.accounting.lose, loss).add_done_callback(done)

    def lost(self, jobs: Sequence[Lost], reason: str) -> None:
        """Jobs lost their leases: tell who listens, and begin them again."""
        for job in jobs:
            if job.state is JobState.QUEUED:
                self.waiting += 1
                event = JobRequeued(job_id=job.id, time_ms=now_ms(), attempts=job.attempts, reason=reason)
                self._feed.publish(event, owner=job.owner, client_id=job.client_id)
            else:
                self._tell_end(end_of_loss(job.id, job.state, reason), job.owner, job.client_id)
        self._changed()
        self.offer()

    # What is asked meanwhile

    def cancel(self, job_id: str) -> bool:
        """Stop a job that runs here; whether one does."""
        live = self.live.get(job_id)
        if live is None or live.end is not None:
            return False
        live.cancelling = True
        live.worker.cancel(job_id)
        return True

    def cancelled(self, job_id: str, owner: str, client_id: str, time_ms: int) -> None:
        """A job that waited was cancelled, durably."""
        self.graphs.take(job_id)
        event, _ = ended(job_id, JobState.CANCELLED, "cancelled", "the job was cancelled before it began", time_ms)
        self._tell_end(event, owner, client_id)
        self.added(-1)

    def end_of(self, job_id: str) -> asyncio.Future[None]:
        """Done when the job has ended. Only ends that this process writes are heard of."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._ends.setdefault(job_id, []).append(future)
        return future

    def forget(self, job_id: str, future: asyncio.Future[None]) -> None:
        """Nobody waits for this end any more."""
        waiters = self._ends.get(job_id)
        if waiters is not None and future in waiters:
            waiters.remove(future)
            if not waiters:
                del self._ends[job_id]

    # Leases over time

    async def beat(self) -> None:
        """Renew the leases, stop what should stop, and take back the leases of those who are gone."""
        before = {live.leased.token for live in self.live.values()}
        now = now_ms()
        if before:
            held = await self._database.write(self.accounting.renew, Heartbeat(self._holder, now + self._lease_ms))
            self._compare(held, before)
        lost = await self._database.write(self.accounting.lose, Loss(now, "its lease expired", record_of_loss, expired=True))
        if lost:
            self.lost(lost, "its lease expired")

    def _compare(self, held: Sequence[Held], before: set[str]) -> None:
        kept = {lease.token for lease in held}
        stop = {lease.id for lease in held if lease.cancel_requested}
        for live in list(self.live.values()):
            if live.leased.token in before and live.leased.token not in kept and live.end is None:
                logger.warning("the lease of job %s was lost; stopping it", live.leased.id)
                self.cancel(live.leased.id)
            elif live.leased.id in stop and not live.cancelling:
                self.cancel(live.leased.id)

    async def drain(self, drain_s: float) -> None:
        """Begin nothing more, wait for what runs, then give back what still does."""
        self._closing = True
        try:
            await asyncio.wait_for(self._idle.wait(), drain_s)
        except TimeoutError:
            logger.info("%d jobs still run; they begin again at the next start", len(self.live))

    async def surrender(self) -> None:
        """Give back the leases of what still runs, without blame. The workers are stopped by now."""
        tokens = tuple(live.leased.token for live in self.live.values() if live.end is None)
        if tokens:
            await self._database.write(
                self.accounting.lose, Loss(now_ms(), "the server stopped", record_of_loss, tokens=tokens, blame=False)
            )
        self.live.clear()

    def _outcome(self, future: asyncio.Future[Result], otherwise: Result) -> Result:
        error = future.exception()
        if error is None:
            return future.result()
        logger.error("a database operation of the queue failed: %s", error)
        return otherwise


def _rest_of(live: Live) -> Any:
    """What the accounting has not written down yet."""
    return None if live.meter is None else live.meter.rest()
