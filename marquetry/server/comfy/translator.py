"""Translator: engine events to the messages of one client. Progress is thinned to 30 a second; all else comes in order and at once.

`progress_state` holds what changed since the last one and what runs; ComfyUI sends every node each time, which grows with the square of a
graph. A client that announces `supports_progress_deltas` gets only ids and states in it, and `executing` as thinned as progress.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import orjson

from marquetry.engine import events
from marquetry.server.comfy import messages
from marquetry.server.comfy.turns import Turns
from marquetry.server.jobs.message import FeedEvent, FeedMessage, Gap, JobLeased, JobRequeued, PackMessage, QueueChanged

Frame: TypeAlias = str | bytes
PERIOD_S = 1 / 30
STATUS_S = 0.005  # how long the length of the queue waits for something else that is to be told


class _Run:
    """What a client was told, and is still to be told, of one job."""

    __slots__ = ("changed", "error_told", "executing", "origins", "previews", "progress", "running", "shown", "told")

    def __init__(self) -> None:
        self.running: dict[str, dict[str, Any]] = {}
        self.changed: dict[str, dict[str, Any]] = {}
        self.progress: dict[str, events.NodeProgress] = {}
        self.previews: dict[str, events.NodeProgress] = {}
        self.shown: set[str] = set()  # nodes of which a preview was sent
        self.executing: events.NodeStarted | None = None
        self.origins: dict[str, str] = {}  # of nodes made by expansion: the submitted node that they come from
        self.told = False
        self.error_told = False

    def origin(self, event: events.NodeEvent) -> str:
        """The submitted node that the event's node was expanded from, or itself."""
        if event.parent_id is None:
            return event.node_id
        origin = self.origins[event.node_id] = self.origins.get(event.parent_id, event.parent_id)
        return origin


class Translator:
    """One client's view. `features` are those that it announced; they may change at any time."""

    def __init__(self, remaining: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> None:
        self.features: dict[str, Any] = {}
        self._remaining = remaining
        self._clock = clock
        self._runs: dict[str, _Run] = {}
        self._turns: Turns[Frame] = Turns()
        self._sent_s = 0.0
        self._status: int | None = None  # the number of jobs that the client was told last
        self._waiting_status: int | None = None
        self._status_due_s = 0.0

    @property
    def deltas_only(self) -> bool:
        return bool(self.features.get("supports_progress_deltas"))

    def wait_s(self) -> float | None:
        """In how many seconds there is something to `flush`; None when nothing waits."""
        due_s: float | None = None
        if any(run.changed or run.progress or run.previews or run.executing for _, run in self._on_turn()):
            due_s = self._sent_s + PERIOD_S
        if self._waiting_status is not None:
            due_s = self._status_due_s if due_s is None else min(due_s, self._status_due_s)
        return None if due_s is None else max(0.0, due_s - self._clock())

    def frames(self, batch: Sequence[FeedMessage]) -> list[Frame]:
        """What the client is told of a batch of events."""
        frames: list[Frame] = []
        for message in batch:
            self._translate(message, frames)
        if frames and self._waiting_status is not None:
            self._tell_status(self._waiting_status, frames)
        if self.wait_s() == 0.0:
            frames += self.flush()
        return frames

    def flush(self) -> list[Frame]:
        """What was held back."""
        frames: list[Frame] = []
        now_s = self._clock()
        if now_s >= self._sent_s + PERIOD_S:
            for job_id, run in self._on_turn():
                self._flush_run(job_id, run, frames)
            self._sent_s = now_s
        if self._waiting_status is not None and (frames or now_s >= self._status_due_s):
            self._tell_status(self._waiting_status, frames)
        return frames

    def resume(self, job_id: str, nodes: Mapping[str, dict[str, Any]]) -> list[Frame]:
        """Tell a client that comes back where its job is: the node that runs, and every node so far."""
        run = self._runs[job_id] = _Run()
        self._turns.begin(job_id)
        run.told = True
        run.origins = {id: entry["real_node_id"] for id, entry in nodes.items() if entry["parent_node_id"] is not None}
        run.running = {id: entry for id, entry in nodes.items() if entry["state"] == "running"}
        frames: list[Frame] = []
        for id, entry in run.running.items():
            frames.append(messages.executing(job_id, id, entry["display_node_id"]))
        if nodes:
            frames.append(self._state(job_id, nodes))
        return frames

    def _on_turn(self) -> list[tuple[str, _Run]]:
        runs, held = self._runs.items(), self._turns.is_held
        return [(job_id, run) for job_id, run in runs if not held(job_id)] if runs else []

    def _translate(self, message: FeedMessage, frames: list[Frame]) -> None:
        event = message.event
        if isinstance(event, Gap):
            self._turns.release(frames)
        elif isinstance(event, JobLeased):
            if not self.deltas_only:
                self._turns.begin(event.job_id)
        elif isinstance(event, JobRequeued):
            self._turns.leave(event.job_id, frames)
        elif not isinstance(event, events.Event):
            self._translate_event(event, frames)
        else:
            if isinstance(event, events.JobStarted):
                if self._waiting_status is not None:
                    self._tell_status(self._waiting_status, frames)
                if not self.deltas_only:
                    self._turns.begin(event.job_id)
            self._translate_event(event, self._turns.place(event.job_id, frames))
            if isinstance(event, events.JobFinished):
                self._turns.end(event.job_id, frames)

    def _translate_event(self, event: FeedEvent, frames: list[Frame]) -> None:
        match event:
            case events.NodeStarted():
                run = self._run(event.job_id)
                entry = messages.node_entry(event, "running", 0, 1, run.origin(event))
                run.running[event.node_id] = run.changed[event.node_id] = entry
                if not run.told:
                    self._flush_run(event.job_id, run, frames)
                    self._sent_s = self._clock()
                if self.deltas_only:
                    run.executing = event
                else:
                    frames.append(messages.executing(event.job_id, event.node_id, event.display_id))
            case events.NodeFinished():
                self._finish(event, "finished", frames, was_made=not event.cached and not event.shared)
                if event.ui is not None:
                    frames.append(messages.executed(event))
            case events.NodeProgress():
                run = self._run(event.job_id)
                run.progress[event.node_id] = event
                entry = messages.node_entry(event, "running", event.value, event.total, run.origin(event))
                run.running[event.node_id] = run.changed[event.node_id] = entry
                if event.preview is not None:
                    run.previews[event.node_id] = event
            case QueueChanged(remaining=remaining):
                if self._waiting_status is None:
                    self._status_due_s = self._clock() + STATUS_S
                self._waiting_status = remaining
            case events.JobStarted():
                self._runs[event.job_id] = _Run()
                frames.append(messages.message("execution_start", {"prompt_id": event.job_id, "timestamp": event.time_ms}))
            case events.NodesCached():
                data = {"nodes": event.node_ids, "prompt_id": event.job_id, "timestamp": event.time_ms}
                frames.append(messages.message("execution_cached", data))
            case events.NodeText():
                frames.append(messages.text_frame(event))
            case events.NodeSkipped():
                self._finish(event, "finished", frames)
            case events.NodeFailed():
                self._finish(event, "error", frames)
                if not event.caught:
                    run = self._run(event.job_id)
                    self._flush_run(event.job_id, run, frames)
                    run.error_told = True
                    frames.append(messages.failed(event))
            case events.JobFinished():
                self._end(event, frames)
            case PackMessage():
                frames.append(messages.message(event.name, orjson.Fragment(event.data)))
            case _:
                pass

    def _run(self, job_id: str) -> _Run:
        run = self._runs.get(job_id)
        if run is None:
            run = self._runs[job_id] = _Run()
        return run

    def _finish(self, event: events.NodeEvent, state: str, frames: list[Frame], *, was_made: bool = False) -> None:
        """`was_made`: the node ran here, also when nothing was heard of its beginning."""
        run = self._run(event.job_id)
        last = run.progress.pop(event.node_id, None)
        if last is not None:
            frames.append(messages.progress(last))
        preview = run.previews.pop(event.node_id, None)
        if preview is not None and event.node_id not in run.shown:
            frames.append(self._preview(run, preview))
        known = run.running.pop(event.node_id, None)
        if known is not None:
            total = known["max"]
            done = total if state == "finished" else known["value"]
            run.changed[event.node_id] = messages.node_entry(event, state, done, total, run.origin(event))
        elif state == "error" or was_made:
            run.changed[event.node_id] = messages.node_entry(event, state, int(was_made), 1, run.origin(event))

    def _end(self, event: events.JobFinished, frames: list[Frame]) -> None:
        run = self._runs.pop(event.job_id, None)
        if run is None and event.state == "cancelled":  # it never began
            return
        if run is not None:
            run.executing = None
            run.running.clear()
            for id, entry in run.changed.items():
                if entry["state"] == "running":
                    run.changed[id] = {**entry, "state": "error"}
            if run.changed or not run.told:
                self._flush_run(event.job_id, run, frames, always=True)
        if run is None or not run.error_told:
            frames.append(messages.ended(event))
        self._tell_status(self._remaining(), frames, always=True)
        frames.append(messages.executing(event.job_id, None))

    def _flush_run(self, job_id: str, run: _Run, frames: list[Frame], *, always: bool = False) -> None:
        if run.executing is not None:
            frames.append(messages.executing(job_id, run.executing.node_id, run.executing.display_id))
            run.executing = None
        for event in run.progress.values():
            frames.append(messages.progress(event))
        for event in run.previews.values():
            frames.append(self._preview(run, event))
            run.shown.add(event.node_id)
        if run.changed or always:
            nodes = run.changed if self.deltas_only else {**run.changed, **run.running}
            frames.append(self._state(job_id, nodes))
            run.told = True
        run.changed = {}
        run.progress = {}
        run.previews = {}

    def _preview(self, run: _Run, event: events.NodeProgress) -> bytes:
        return messages.preview_frame(event, run.origin(event), with_metadata=bool(self.features.get("supports_preview_metadata")))

    def _state(self, job_id: str, nodes: Mapping[str, dict[str, Any]]) -> str:
        if self.deltas_only:
            nodes = {id: {"value": entry["value"], "max": entry["max"], "state": entry["state"]} for id, entry in nodes.items()}
        return messages.message("progress_state", {"prompt_id": job_id, "nodes": nodes})

    def _tell_status(self, remaining: int, frames: list[Frame], *, always: bool = False) -> None:
        self._waiting_status = None
        if always or remaining != self._status:
            self._status = remaining
            frames.append(messages.status(remaining))
