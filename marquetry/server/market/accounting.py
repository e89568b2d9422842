"""MarketAccounting: jobs cost credits. Terms are agreed before a job is queued; holds, charges and what goes back are written in the same
transactions as the rows of the jobs, and only for who holds the lease."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select

from marquetry.engine.graph import Graph
from marquetry.marketplace import ledger
from marquetry.marketplace.errors import MarketError
from marquetry.marketplace.metering.facts import Report
from marquetry.marketplace.metering.record import record
from marquetry.marketplace.metering.runs import close_runs, keep_holds, open_run, resume_run
from marquetry.marketplace.metering.tables import run_quotes
from marquetry.marketplace.metering.terms import Terms, terms_of
from marquetry.server.database.database import Database
from marquetry.server.database.tables import jobs
from marquetry.server.jobs.accounting import Accounting
from marquetry.server.jobs.job import JobState, Submission
from marquetry.server.jobs.lease import Leased, LeaseRequest, Loss, Lost, lease_jobs, lose_leases
from marquetry.server.jobs.live import ended, now_ms
from marquetry.server.jobs.queue import Cancel, Cancelled, Finish, Inserted, NewJob, cancel_jobs, finish_jobs, insert_jobs
from marquetry.server.jobs.together import Together
from marquetry.server.market.market import Market, Order, quality_of
from marquetry.server.market.meter import JobMeter
from marquetry.server.people import NOBODY

if TYPE_CHECKING:
    from sqlalchemy import Connection

logger = logging.getLogger(__name__)
LIVE = (str(JobState.QUEUED), str(JobState.RUNNING))


@dataclass(frozen=True, slots=True)
class Agreed:
    """Under what a job is queued, up to where its quotas go, and the API key against whose limit it counts."""

    terms: Terms
    limits: dict[str, int | None]
    key_id: str | None = None


class MarketAccounting(Accounting):
    """See the module. `market` prices; the operations are those of the queue with what belongs to them."""

    def __init__(self, market: Market, database: Database) -> None:
        super().__init__()
        self._market = market
        self._database = database
        self.insert = self._insert
        self.insert_together = self._insert_together
        self.lease = self._lease
        self.lose = self._lose
        self.cancel = self._cancel
        self.finish = self._finish
        self._recording = self._record  # one object, so that equal operations share a batch

    async def agree(self, submissions: Sequence[Submission], ids: Sequence[str]) -> Sequence[Agreed]:
        """Quote the jobs as they come. Raises what refuses them: NotInPlan, QuotaUsedUp, UnknownOperation, UnknownWeights."""
        if not submissions:
            return ()
        owner = submissions[0].owner or NOBODY
        known: dict[tuple[int, tuple[str, ...]], Any] = {}
        orders: list[Order] = []
        for submission in submissions:
            place = (id(submission.graph), submission.outputs)
            if place not in known:
                known[place] = await self._market.foresee(submission.graph, submission.outputs, submission.owner)
            orders.append(Order(known[place], quality_of(submission.extra), submission.by_key))
        offers = await self._market.offers(owner, orders, now_ms())
        return [
            Agreed(
                terms_of(offer.quote, run_id, owner, offer.reserved, offer.standing.month_start_ms, _listing(submission.graph)),
                offer.limits,
                submission.key_id,
            )
            for offer, run_id, submission in zip(offers, ids, submissions, strict=True)
        ]

    def meter(self, leased: Leased) -> JobMeter:
        return JobMeter(leased, lambda report: self._database.write(self._recording, report))

    def _insert(self, connection: Connection, news: Sequence[NewJob]) -> list[Inserted | Exception]:
        results = insert_jobs(connection, news)
        for place, (new, result) in enumerate(zip(news, results, strict=True)):
            if isinstance(result, Inserted) and not result.existing and new.terms is not None:
                try:
                    self._open(connection, new)
                except MarketError as error:
                    connection.execute(delete(jobs).where(jobs.c.id == new.id))
                    results[place] = error
        return results

    def _insert_together(self, connection: Connection, groups: Sequence[Together]) -> list[Exception | None]:
        """Raises what refuses a group; the writer then tries the others without it."""
        for group in groups:
            group.beside(connection)
            refused = next((entry for entry in self._insert(connection, group.news) if isinstance(entry, Exception)), None)
            if refused is not None:
                raise refused
        return [None] * len(groups)

    def _open(self, connection: Connection, new: NewJob) -> None:
        agreed: Agreed = new.terms
        open_run(connection, agreed.terms, agreed.limits, new.created_ms, agreed.key_id)

    def _lease(self, connection: Connection, requests: Sequence[LeaseRequest]) -> list[list[Leased] | Exception]:
        """A job whose hold expired while no server was there has it set aside anew, or fails."""
        results = lease_jobs(connection, requests)
        for place, (request, result) in enumerate(zip(requests, results, strict=True)):
            if isinstance(result, list):
                results[place] = [leased for leased in result if self._resumed(connection, leased, request.now_ms)]
        return results

    def _resumed(self, connection: Connection, leased: Leased, time_ms: int) -> bool:
        error = resume_run(connection, leased.id, time_ms)
        if error is None:
            return True
        _, history = ended(leased.id, JobState.FAILED, error.code, error.message, time_ms)
        finish_jobs(connection, [Finish(leased.id, leased.token, JobState.FAILED, time_ms, history)])
        self._close(connection, [(leased.id, str(JobState.FAILED))], time_ms)
        return False

    def keep(self, connection: Connection, times_ms: Sequence[int]) -> list[int | Exception]:
        """Holds of jobs that wait or run go on; those that nobody renewed end. Gives how many ended."""
        results: list[int | Exception] = []
        for time_ms in times_ms:
            alive = select(run_quotes.c.run_id).join_from(run_quotes, jobs, jobs.c.id == run_quotes.c.run_id)
            keep_holds(connection, connection.execute(alive.where(jobs.c.state.in_(LIVE))).scalars().all(), time_ms)
            results.append(ledger.expire_holds(connection, time_ms))
        return results

    def _lose(self, connection: Connection, losses: Sequence[Loss]) -> list[list[Lost] | Exception]:
        results = lose_leases(connection, losses)
        for loss, result in zip(losses, results, strict=True):
            if isinstance(result, list):
                self._close(connection, [(lost.id, str(lost.state)) for lost in result if lost.state.is_final], loss.now_ms)
        return results

    def _cancel(self, connection: Connection, wishes: Sequence[Cancel]) -> list[Cancelled | Exception]:
        results = cancel_jobs(connection, wishes)
        for wish, result in zip(wishes, results, strict=True):
            if isinstance(result, Cancelled) and result.ended:
                self._close(connection, [(wish.id, str(JobState.CANCELLED))], wish.finished_ms)
        return results

    def _finish(self, connection: Connection, finishes: Sequence[Finish]) -> list[bool | Exception]:
        """Only where the final state was written by this lease, what its nodes cost is, and what is left goes back."""
        results = finish_jobs(connection, finishes)
        ends = [end for end, result in zip(finishes, results, strict=True) if result is True]
        if ends:
            time_ms = max(end.finished_ms for end in ends)
            reports = [end.report if end.report is not None else Report(end.id, end.token, ()) for end in ends]
            completed = [end.id for end in ends if end.state is JobState.COMPLETED]
            record(connection, self._market.tariff, reports, time_ms, completed)
            self._close(connection, [(end.id, str(end.state)) for end in ends], time_ms)
        return results

    def _close(self, connection: Connection, ends: Sequence[tuple[str, str]], time_ms: int) -> None:
        close_runs(connection, ends, time_ms, self._market.settings.low_balance_microcredits)

    def _record(self, connection: Connection, reports: Sequence[Report]) -> list[bool | Exception]:
        """Charges of nodes that finished; False where the lease is another's by now: then nothing is charged."""
        wanted = [report.token for report in reports]
        held = select(jobs.c.id, jobs.c.lease_token).where(jobs.c.lease_token.in_(wanted), jobs.c.state == str(JobState.RUNNING))
        mine = {(row.id, row.lease_token) for row in connection.execute(held.order_by(jobs.c.seq).with_for_update())}
        good = [report for report in reports if (report.run_id, report.token) in mine]
        record(connection, self._market.tariff, good, max((fact.finished_ms for report in good for fact in report.finished), default=0))
        return [(report.run_id, report.token) in mine for report in reports]


def _listing(graph: Graph) -> str | None:
    """The published graph that a job is a run of: the only thing in it that is one."""
    return next((node.type_id for node in graph.nodes.values() if node.type_id.startswith("listing:")), None)
