"""Stream: engine events to the lines of our own event streams. Nodes are told in bundles, at most 30 a second, each with what changed."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from marquetry.engine import events
from marquetry.server.api.views import summary
from marquetry.server.jobs.job import Job
from marquetry.server.jobs.message import FeedMessage, Gap, JobQueued, JobRequeued

PERIOD_S = 1 / 30


@dataclass(frozen=True, slots=True)
class Line:
    """One message: its kind, its number, and what it says."""

    kind: str
    number: int
    data: dict[str, Any]


class Stream:
    """One reader's view. `over`: a job has ended."""

    def __init__(self, *, with_previews: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self.over = False
        self._with_previews = with_previews
        self._clock = clock
        self._nodes: dict[str, dict[str, Any]] = {}
        self._previews: dict[tuple[str, str], events.NodeProgress] = {}
        self._number = 0
        self._sent_s = 0.0

    def standing(self, job: Job, number: int) -> Line:
        """How a job stands."""
        return Line("job", number, {"job_id": job.id, "job": summary(job)})

    def ended(self, job: Job, number: int) -> Line:
        """The last line of a job that ended before."""
        self.over = True
        message = "" if job.error is None else job.error.message
        return Line("finished", number, {"job_id": job.id, "state": job.state.value, "message": message})

    def wait_s(self) -> float | None:
        """In how many seconds there is something to `flush`; None when nothing waits."""
        if not self._nodes and not self._previews:
            return None
        return max(0.0, self._sent_s + PERIOD_S - self._clock())

    def lines(self, batch: Sequence[FeedMessage]) -> list[Line]:
        """What a batch of events says."""
        lines: list[Line] = []
        for message in batch:
            self._number = message.seq
            self._take(message, lines)
        if self.wait_s() == 0.0:
            lines += self.flush()
        return lines

    def flush(self) -> list[Line]:
        """What was held back."""
        lines = [Line("nodes", self._number, {"job_id": job_id, "nodes": nodes}) for job_id, nodes in self._nodes.items()]
        for (job_id, _), event in self._previews.items():
            picture = f"data:image/{event.preview_format};base64,{base64.b64encode(event.preview or b'').decode()}"
            lines.append(Line("preview", self._number, {"job_id": job_id, "node_id": event.node_id, "image": picture}))
        self._nodes = {}
        self._previews = {}
        self._sent_s = self._clock()
        return lines

    def _take(self, message: FeedMessage, lines: list[Line]) -> None:
        event, number = message.event, message.seq
        match event:
            case events.NodeStarted():
                self._node(event, "running")
            case events.NodeFinished():
                self._node(event, "cached" if event.cached else "finished")
                self._previews.pop((event.job_id, event.node_id), None)
                if event.ui is not None:
                    lines.append(Line("output", number, {"job_id": event.job_id, "node_id": event.node_id, "output": event.ui}))
            case events.NodeProgress():
                self._node(event, [event.value, event.total])
                if event.preview is not None and self._with_previews:
                    self._previews[event.job_id, event.node_id] = event
            case events.NodesCached():
                for node_id in event.node_ids:
                    self._nodes.setdefault(event.job_id, {})[node_id] = "cached"
            case events.NodeText():
                lines.append(Line("text", number, {"job_id": event.job_id, "node_id": event.node_id, "text": event.text}))
            case events.NodeSkipped():
                self._node(event, "skipped")
            case events.NodeFailed():
                self._node(event, "failed")
                lines.append(Line("error", number, _failure(event)))
            case events.JobStarted():
                lines.append(Line("started", number, {"job_id": event.job_id, "time_ms": event.time_ms}))
            case JobQueued():
                lines.append(Line("queued", number, {"job_id": event.job_id, "time_ms": event.time_ms}))
            case JobRequeued():
                lines.append(Line("requeued", number, {"job_id": event.job_id, "attempts": event.attempts, "reason": event.reason}))
            case Gap():
                lines.append(Line("gap", number, {"message": "events are missing here; read the job anew"}))
            case events.JobFinished():
                self.over = True
                lines += self.flush()
                data = {"job_id": event.job_id, "state": event.state, "message": event.message, "duration_s": event.duration_s}
                lines.append(Line("finished", number, data))
            case _:
                pass

    def _node(self, event: events.NodeEvent, state: object) -> None:
        nodes = self._nodes.get(event.job_id)
        if nodes is None:
            nodes = self._nodes[event.job_id] = {}
        nodes[event.node_id] = state


def _failure(event: events.NodeFailed) -> dict[str, Any]:
    return {
        "job_id": event.job_id,
        "node_id": event.node_id,
        "node_type": event.node_type,
        "code": event.code,
        "message": event.message,
        "caught": event.caught,
    }
