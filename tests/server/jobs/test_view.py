"""The view of a job, folded from its events."""

from __future__ import annotations

import math
from typing import Any

from marquetry.engine.events import (
    JobFinished,
    JobStarted,
    NodeExpanded,
    NodeFailed,
    NodeFinished,
    NodeProgress,
    NodesCached,
    NodeSkipped,
    NodeStarted,
    NodeText,
)
from marquetry.server.jobs.job import JobState
from marquetry.server.jobs.view import JobView, decode_record


def view_of(*events: Any, nodes: int = 4) -> JobView:
    view = JobView("job", lambda: nodes)
    view.fold_all(events)
    return view


def node(kind: type[Any], id: str = "1", **values: Any) -> Any:
    return kind(job_id="job", time_ms=10, node_id=id, display_id=id, **values)


def failed(id: str = "1", caught: bool = False) -> NodeFailed:
    event: NodeFailed = node(
        NodeFailed, id, node_type="Fail", error_type="ValueError", code="node_failed", message="no", traceback=["line"],
        current_inputs={}, current_outputs=[], executed=[], caught=caught,
    )  # fmt: skip
    return event


def finished(state: str, **values: Any) -> JobFinished:
    return JobFinished(job_id="job", time_ms=20, state=state, **values)


def test_progress_counts_nodes_and_the_steps_of_the_running_one() -> None:
    view = view_of(node(NodeFinished, "1"), node(NodeStarted, "2"), node(NodeProgress, "2", value=5, total=10))
    assert view.progress == 37.5
    assert view.current_step == "node 2: 5 of 10"
    view.fold_all([node(NodeText, "2", text="nearly done")])
    assert view.current_step == "nearly done"
    view.fold_all([node(NodeFinished, "2"), finished("completed")])
    assert (view.progress, view.current_step) == (100.0, "")


def test_nodes_that_an_expansion_adds_count() -> None:
    view = view_of(node(NodeExpanded, "1", node_ids=["1.a", "1.b", "1.c", "1.d"]), node(NodeFinished, "1.a"))
    assert view.progress == 12.5


def test_a_failure_is_the_jobs_error_and_one_message() -> None:
    view = view_of(node(NodeStarted), failed(), finished("failed", code="node_failed", message="no", node_id="1"))
    assert view.state is JobState.FAILED
    assert view.error is not None and view.error.details["traceback"] == ["line"]
    assert [name for name, _ in view.messages] == ["execution_error"]


def test_a_caught_failure_is_told_but_the_job_completes() -> None:
    view = view_of(failed(caught=True), finished("completed"))
    assert (view.state, view.error) == (JobState.COMPLETED, None)
    assert [name for name, _ in view.messages] == ["execution_error", "execution_success"]
    assert view.nodes["1"].state == "failed"


def test_a_job_that_fails_before_any_node_says_why() -> None:
    view = view_of(finished("failed", code="invalid_graph", message="a cycle"))
    assert view.error is not None and (view.error.code, view.error.message) == ("invalid_graph", "a cycle")
    assert view.messages[0][1]["exception_message"] == "a cycle"


def test_a_blocked_node_is_skipped_with_its_reason() -> None:
    view = view_of(node(NodeSkipped, reason="blocked", message="not today"))
    assert (view.nodes["1"].state, view.nodes["1"].text) == ("skipped", "not today")


def test_late_progress_does_not_wake_a_finished_node() -> None:
    view = view_of(node(NodeStarted), node(NodeFinished), node(NodeProgress, value=1, total=2))
    assert view.nodes["1"].state == "finished"


def test_a_record_gives_back_what_was_folded() -> None:
    started = JobStarted(job_id="job", time_ms=1)
    cached = NodesCached(job_id="job", time_ms=1, node_ids=["0"])
    view = view_of(started, cached, node(NodeStarted), node(NodeFinished, ui={"text": ["a"]}, duration_s=0.5), finished("completed"))
    record = decode_record(view.encode())
    assert record.outputs == {"1": {"text": ["a"]}}
    assert record.nodes == view.nodes
    assert [tuple(message) for message in record.messages] == view.messages
    assert record.progress == 100.0


def test_whatever_a_node_shows_can_be_recorded() -> None:
    shown = {"huge": [2**80], "set": {1}, "nan": [math.nan], 5: [object()], "deep": [[[(1, 2)]]]}
    record = decode_record(view_of(node(NodeFinished, ui=shown)).encode())
    assert record.outputs["1"]["huge"] == [float(2**80)]
    assert record.outputs["1"]["deep"] == [[[[1, 2]]]]
    assert set(record.outputs["1"]) == {"huge", "set", "nan", "5", "deep"}
