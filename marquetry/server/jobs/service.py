"""JobService: what the rest of the server asks of jobs. Everything it answers is durable, or says that it is not over yet."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson

from marquetry.server.database.database import Database
from marquetry.server.jobs import archive
from marquetry.server.jobs.accounting import Accounting
from marquetry.server.jobs.affinity import affinity_of
from marquetry.server.jobs.crew import Crew
from marquetry.server.jobs.dispatcher import Dispatcher
from marquetry.server.jobs.errors import JobTimeout, WorkerUnavailable
from marquetry.server.jobs.feed import Feed
from marquetry.server.jobs.holder import is_dead, own_holder
from marquetry.server.jobs.job import Job, JobState, Submission
from marquetry.server.jobs.lease import Loss, running_holders
from marquetry.server.jobs.live import Live, ended, now_ms
from marquetry.server.jobs.loss import record_of_loss
from marquetry.server.jobs.outlook import Outlook
from marquetry.server.jobs.queue import Cancel, NewJob, Removal, remove_finished
from marquetry.server.jobs.shares import promote_waiting, restand_jobs
from marquetry.server.jobs.standing import EqualStanding, QueueStanding, Standing
from marquetry.server.jobs.times import NodeTimes
from marquetry.server.jobs.together import Together
from marquetry.server.jobs.token import job_id as new_job_id
from marquetry.server.jobs.view import JobView
from marquetry.server.jobs.watchdog import StuckLimits, Watchdog
from marquetry.server.jobs.workers.worker import Description, ValidationReply, Worker, WorkerStats

if TYPE_CHECKING:
    from sqlalchemy import Connection

logger = logging.getLogger(__name__)
LOOK_AGAIN_S = 1.0  # how often `wait` asks the database, for ends that other processes write


class JobService:
    """Jobs of one server. `queued_per_client` bounds what one client may have waiting; None: no bound.

    A worker runs `concurrent_jobs` at a time; while they are over in no time it may hold `quick_jobs`, if that is more. `standing` knows
    plans; whoever sells those puts theirs here before the start. An owner who got nothing for `starvation_s` gets one job through.
    """

    def __init__(
        self,
        database: Database,
        workers: Sequence[Worker],
        *,
        concurrent_jobs: int = 4,
        quick_jobs: int = 0,
        queued_per_client: int | None = None,
        lease_s: float = 30.0,
        heartbeat_s: float = 5.0,
        starvation_s: float = 600.0,
        stuck: StuckLimits | None = None,
    ) -> None:
        self.feed = Feed()
        self.workers = list(workers)
        self.database = database
        self._crew = Crew(workers, concurrent_jobs, quick_jobs)
        self._dispatcher = Dispatcher(database, self._crew, self.feed, own_holder(), lease_s)
        self.standing: QueueStanding = EqualStanding()
        self.times = NodeTimes()
        self.outlook = Outlook(database, self.times, len(workers))
        self.watchdog = Watchdog(stuck or StuckLimits())
        self._dispatcher.on_end = self._note_times
        self._starvation_ms = int(starvation_s * 1000)
        self._queued_per_client = queued_per_client
        self._heartbeat_s = heartbeat_s
        self._beating: asyncio.Task[None] | None = None
        self._number = 0.0

    async def start(self) -> None:
        """Take back the leases of dead servers, start the workers, and go on with what waits. Workers become ready later."""
        holders = await self.database.read(running_holders)
        dead = tuple(holder for holder in holders if is_dead(holder))
        loss = Loss(now_ms(), "the server stopped while it ran", record_of_loss, holders=dead, expired=True)
        await self.database.write(self.accounting.lose, loss)
        self._number = await self.database.read(archive.highest_number)
        self._dispatcher.waiting, _ = await self.database.read(archive.count_remaining)
        await self.times.load(self.database)
        for worker in self.workers:
            await worker.start(self._dispatcher.listener(worker))
        self._beating = asyncio.create_task(self._beat())

    async def stop(self, drain_s: float = 0.0) -> None:
        """Begin nothing more, wait at most `drain_s` for what runs, stop the workers. What still ran begins again at the next start."""
        await self._dispatcher.drain(drain_s)
        if self._beating is not None:
            self._beating.cancel()
            with suppress(asyncio.CancelledError):
                await self._beating
        for worker in self.workers:
            await worker.stop()
        await self._dispatcher.surrender()

    async def submit(self, submission: Submission) -> Job:
        """Queue a job; it is durable when this returns. Raises QueueFull, DuplicateJob and IdempotencyConflict."""
        (new,) = await self._agreed([submission], [self._new_job(submission, await self.standing.of(submission.owner))])
        inserted = await asyncio.shield(self._dispatcher.insert(new, submission.graph))
        known = await self.find(inserted.id) if inserted.existing else None
        return known if known is not None else _queued(new, submission)

    async def submit_together(self, submissions: Sequence[Submission], beside: Callable[[Connection], None]) -> list[Job]:
        """Queue jobs of one owner, all of them or none; `beside` writes what belongs to them in the same transaction, before they are there.

        Raises what `submit` raises, and what `beside` does.
        """
        standing = await self.standing.of(submissions[0].owner) if submissions else Standing()
        news = await self._agreed(submissions, [self._new_job(submission, standing) for submission in submissions])
        together = Together(tuple(news), beside)
        await asyncio.shield(self._dispatcher.insert_together(together, [submission.graph for submission in submissions]))
        return [_queued(new, submission) for new, submission in zip(news, submissions, strict=True)]

    @property
    def accounting(self) -> Accounting:
        """Who keeps accounts of jobs; to be set before the start."""
        return self._dispatcher.accounting

    @accounting.setter
    def accounting(self, accounting: Accounting) -> None:
        self._dispatcher.accounting = accounting

    def hear_ends(self, hear: Callable[[str, str], None]) -> None:
        """Call `hear` with the id and the owner of every job whose end this process makes durable. It must be quick."""
        self._dispatcher.hearers.append(hear)

    async def restand(self, owner: str) -> None:
        """The owner has another plan: let the jobs that wait stand as it says."""
        await self.database.write(restand_jobs, (owner, await self.standing.of(owner)))
        self._dispatcher.offer()

    async def find(self, job_id: str, owner: str | None = None) -> Job | None:
        """The job of that id as it is now; another owner's is not found."""
        job = await self.database.read(archive.find_job, job_id, owner)
        return None if job is None else self._now(job)

    async def jobs(
        self,
        *,
        owner: str | None = None,
        states: Iterable[JobState] | None = None,
        limit: int = 100,
        offset: int = 0,
        newest_first: bool = True,
    ) -> tuple[list[Job], int]:
        """A page of jobs by arrival, and how many there are in all."""
        found, total = await self.database.read(archive.list_jobs, owner, states, limit, offset, newest_first)
        return [self._now(job) for job in found], total

    async def history(self, max_items: int | None = None, offset: int | None = None, owner: str | None = None) -> list[Job]:
        """Jobs that ran and ended, oldest first. `offset` counts from the oldest; without one, `max_items` gives the newest."""
        return await self.database.read(archive.past_jobs, max_items, offset, owner)

    async def queue(self, owner: str | None = None) -> tuple[list[Job], list[Job]]:
        """What runs, and what waits."""
        running = await self.database.read(archive.running_jobs, owner)
        waiting = await self.database.read(archive.waiting_jobs, owner)
        return [self._now(job) for job in running], waiting

    def view(self, job_id: str) -> JobView | None:
        """The state of a job that runs in this process, without asking the database."""
        live = self._dispatcher.live.get(job_id)
        return None if live is None else live.view

    def running(self) -> tuple[str, ...]:
        """The ids of the jobs that run in this process, in the order in which they began."""
        return tuple(job_id for job_id, live in self._dispatcher.live.items() if live.end is None)

    async def cancel(self, job_id: str, owner: str | None = None) -> Job | None:
        """Stop a job: one that waits at once, one that runs at its next step. Gives the job as it is then; a final one stays as it is."""
        job = await self.find(job_id, owner)
        if job is None or job.state.is_final:
            return job
        await self._cancel(job_id, owner)
        return await self.find(job_id, owner)

    async def interrupt(self, owner: str | None = None, job_id: str | None = None) -> list[str]:
        """Stop what runs: all jobs, or the one of that id if it runs. Gives the ids."""
        running = [job.id for job in await self.database.read(archive.running_jobs, owner) if job_id in (None, job.id)]
        for id in running:
            await self._cancel(id, owner)
        return running

    async def clear_pending(self, owner: str | None = None, ids: Sequence[str] | None = None) -> int:
        """Cancel what waits: all of it, or those of `ids` that do. Running jobs are left alone. Gives how many."""
        waiting = await self.database.read(archive.waiting_ids, owner, ids)
        return sum(await asyncio.gather(*(self._cancel(id, owner, running=False) for id in waiting)))

    async def delete(self, ids: Sequence[str], owner: str | None = None) -> int:
        """Forget these finished jobs; others are left alone. Gives how many."""
        return await self.database.write(remove_finished, Removal(tuple(ids), owner))

    async def clear_history(self, owner: str | None = None) -> int:
        """Forget all finished jobs. Gives how many."""
        return await self.database.write(remove_finished, Removal(None, owner))

    async def wait(self, job_id: str, timeout_s: float) -> Job:
        """The job once it has ended. Raises JobTimeout, also when there is no such job."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        end = self._dispatcher.end_of(job_id)
        try:
            while True:
                job = await self.find(job_id)
                if job is not None and job.state.is_final:
                    return job
                left = until - loop.time()
                if left <= 0 or job is None:
                    raise JobTimeout(f"job {job_id} has not ended within {timeout_s:g} s; ask for it again later", job_id=job_id)
                await asyncio.wait((end,), timeout=min(left, LOOK_AGAIN_S))
        finally:
            self._dispatcher.forget(job_id, end)

    def remaining(self) -> int:
        """How many jobs wait or run."""
        return self._dispatcher.remaining()

    async def free(self, *, unload_models: bool = False, free_memory: bool = False) -> None:
        """Let every worker let go of idle models, of cached results."""
        for worker in self.workers:
            if worker.ready:
                await worker.free(unload_models=unload_models, free_memory=free_memory)

    async def describe(self) -> Description:
        """The node types of the workers. Raises WorkerUnavailable."""
        return await self._ready().describe()

    async def validate(
        self, graph: bytes, targets: Sequence[str] | None = None, owner: str = "", published: bytes = b""
    ) -> ValidationReply:
        """Let a worker check an API graph (JSON) of an owner, with the published graphs that it uses. Raises GraphError, WorkerUnavailable."""
        return await self._ready().validate(graph, targets, owner, published)

    async def stats(self) -> list[WorkerStats]:
        """How the workers are."""
        return [await worker.stats() for worker in self.workers]

    @property
    def ready(self) -> bool:
        """Whether a worker can run jobs."""
        return any(worker.ready for worker in self.workers)

    def _ready(self) -> Worker:
        for worker in self.workers:
            if worker.ready:
                return worker
        raise WorkerUnavailable("no worker is ready yet; try again in a moment")

    def _now(self, job: Job) -> Job:
        live = self._dispatcher.live.get(job.id)
        return job if live is None or job.state.is_final else live.overlay(job)

    def _note_times(self, live: Live) -> None:
        if live.view.state is JobState.COMPLETED:
            self.times.note(live.leased.graph, live.leased.affinity, live.view.nodes, now_ms() - live.leased.started_ms)

    def _new_job(self, submission: Submission, standing: Standing) -> NewJob:
        if submission.number is None:
            self._number += 1
        number = submission.number if submission.number is not None else -self._number if submission.front else self._number
        graph = submission.graph_json or orjson.dumps(submission.graph.to_api())
        extra = orjson.dumps(dict(submission.extra))
        outputs = orjson.dumps(submission.outputs)
        fingerprint = None
        if submission.idempotency_key is not None:
            fingerprint = hashlib.blake2b(b"\0".join((graph, extra, outputs)), digest_size=32).digest()
        affinity = affinity_of(submission.graph)
        return NewJob(
            id=submission.job_id or new_job_id(),
            owner=submission.owner,
            client_id=submission.client_id,
            priority=standing.priority(submission.priority),
            number=float(number),
            created_ms=now_ms(),
            graph=graph,
            extra=extra,
            outputs=outputs,
            affinity=affinity,
            idempotency_key=submission.idempotency_key,
            fingerprint=fingerprint,
            waiting_limit=self._queued_per_client,
            id_given=submission.job_id is not None,
            weight=standing.weight,
            max_running=standing.running_jobs,
            expected_ms=self.times.expected_ms(submission.graph, affinity),
            published=submission.graph.published or None,
        )

    async def _agreed(self, submissions: Sequence[Submission], news: list[NewJob]) -> list[NewJob]:
        """The jobs with the terms under which they are queued."""
        terms = await self.accounting.agree(submissions, [new.id for new in news])
        return [new if agreed is None else replace(new, terms=agreed) for new, agreed in zip(news, terms, strict=True)]

    async def _cancel(self, job_id: str, owner: str | None, *, running: bool = True) -> bool:
        time_ms = now_ms()
        _, record = ended(job_id, JobState.CANCELLED, "cancelled", "the job was cancelled before it began", time_ms)
        cancelled = await self.database.write(self.accounting.cancel, Cancel(job_id, time_ms, record, owner, running))
        if cancelled.ended:
            self._dispatcher.cancelled(job_id, cancelled.owner, cancelled.client_id, time_ms)
        elif cancelled.requested:
            self._dispatcher.cancel(job_id)
        return cancelled.ended

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_s)
            try:
                await self._dispatcher.beat()
                for live, reason in self.watchdog.look(self._dispatcher.live.values()):
                    self._dispatcher.end_try(live, reason)
                await self.database.write(promote_waiting, now_ms() - self._starvation_ms)
                await self.times.digest(self.database, now_ms())
                changes = self._dispatcher.changes
                waiting, _ = await self.database.read(archive.count_remaining)
                if changes == self._dispatcher.changes:
                    self._dispatcher.waiting = waiting
                self._dispatcher.offer()
            except Exception:  # the database may be away for a while; leases last longer than one beat
                logger.exception("the heartbeat of the queue failed")


def _queued(new: NewJob, submission: Submission) -> Job:
    return Job(
        id=new.id,
        owner=new.owner,
        client_id=new.client_id,
        state=JobState.QUEUED,
        number=new.number,
        priority=new.priority,
        created_ms=new.created_ms,
        graph=new.graph,
        extra=new.extra,
        outputs_to_execute=submission.outputs,
        idempotency_key=new.idempotency_key,
    )
