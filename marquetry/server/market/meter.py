"""Meter: hears the events of one leased job and has what costs written down, in order, together with what others write.

What a write did not get through with is told again, with the next one or with the job's end: records are made once however often they come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from marquetry.engine.events import (
    AnyEvent,
    InnerFinished,
    JobFinished,
    NodeExpanded,
    NodeFailed,
    NodeFinished,
    NodeSkipped,
    UsageReport,
)
from marquetry.engine.usage import Usage
from marquetry.marketplace.metering.facts import FinishedNode, Report
from marquetry.server.jobs.lease import Leased


class JobMeter:
    """One for each lease. `send` writes a report and says whether the lease was still held."""

    def __init__(self, leased: Leased, send: Callable[[Report], asyncio.Future[bool]]) -> None:
        self._run_id = leased.id
        self._token = leased.token
        self._send = send
        self._parents: dict[str, str] = {}
        self._grown: set[str] = set()
        self._spared: set[str] = set()
        self._unsent: list[FinishedNode] = []
        self._underway: dict[asyncio.Future[bool], tuple[FinishedNode, ...]] = {}

    def hear(self, events: Sequence[AnyEvent]) -> None:
        """See `jobs.accounting.Meter`."""
        for event in events:
            if isinstance(event, (NodeFinished, InnerFinished)):
                self._finished(event)
            elif isinstance(event, NodeExpanded):
                self._expanded(event)
            elif isinstance(event, (NodeSkipped, NodeFailed)):
                self._spared.add(event.node_id)
        if type(events[-1]) is not JobFinished:
            self.write()

    def write(self) -> None:
        if not self._unsent:
            return
        report = self._report(tuple(self._unsent))
        self._unsent = []
        sending = self._send(report)
        self._underway[sending] = report.finished
        sending.add_done_callback(self._sent)

    def rest(self) -> Report:
        """See `jobs.accounting.Meter`."""
        underway = (fact for facts in self._underway.values() for fact in facts)
        return self._report((*underway, *self._unsent))

    def _report(self, finished: tuple[FinishedNode, ...]) -> Report:
        return Report(self._run_id, self._token, finished, frozenset(self._spared))

    def _sent(self, sending: asyncio.Future[bool]) -> None:
        facts = self._underway.pop(sending)
        if not sending.cancelled() and sending.exception() is not None:
            self._unsent[:0] = facts

    def _finished(self, event: NodeFinished | InnerFinished) -> None:
        if isinstance(event, InnerFinished):
            if event.cached and not event.usage:
                return  # it may turn out that nobody needs it; what is owed for it is due when the job completes
        elif event.parent_id is not None:
            self._parents.setdefault(event.node_id, event.parent_id)
        free = event.cached or event.shared
        if event.parent_id is not None and not event.usage:
            return
        self._unsent.append(
            FinishedNode(
                node_id=event.node_id,
                origin_id=self._origin(event.node_id),
                free=free,
                grew=event.node_id in self._grown,
                usage=tuple(_usage(report) for report in event.usage),
                duration_ms=int(event.duration_s * 1000),
                finished_ms=event.time_ms,
            )
        )

    def _expanded(self, event: NodeExpanded) -> None:
        self._grown.add(event.node_id)
        for id in event.node_ids:
            self._parents[id] = event.node_id

    def _origin(self, id: str) -> str:
        while (parent := self._parents.get(id)) is not None:
            id = parent
        return id


def _usage(report: UsageReport) -> Usage:
    return Usage(report.operation, report.quantity, tuple(report.resources))
