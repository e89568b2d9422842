"""Turns: what is told of jobs that run side by side comes one job after the other."""

from __future__ import annotations

from typing import Any

import orjson

from marquetry.engine.events import JobFinished, JobStarted
from marquetry.server.comfy.translator import Translator
from marquetry.server.comfy.turns import Turns
from marquetry.server.jobs.message import FeedMessage, JobLeased, JobRequeued


def told(turns: Turns[str], frames: list[str], job: str, *words: str) -> None:
    turns.place(job, frames).extend(f"{job}{word}" for word in words)


def test_a_later_job_waits_for_the_end_of_the_one_before() -> None:
    turns, frames = Turns[str](), list[str]()
    for job in "abc":
        turns.begin(job)
    told(turns, frames, "b", "1", "2")
    told(turns, frames, "c", "1")
    turns.end("c", frames)
    told(turns, frames, "a", "1")
    assert frames == ["a1"]
    turns.end("a", frames)
    assert frames == ["a1", "b1", "b2"]
    told(turns, frames, "b", "3")
    turns.end("b", frames)
    assert frames == ["a1", "b1", "b2", "b3", "c1"]
    assert not any(turns.is_held(job) for job in "abc")


def test_a_job_that_never_began_waits_for_nobody() -> None:
    turns, frames = Turns[str](), list[str]()
    turns.begin("a")
    told(turns, frames, "queued", "1")
    turns.end("queued", frames)
    assert frames == ["queued1"]


def test_nothing_is_held_when_ends_may_have_been_missed() -> None:
    turns, frames = Turns[str](), list[str]()
    for job in "ab":
        turns.begin(job)
    told(turns, frames, "b", "1")
    turns.release(frames)
    told(turns, frames, "b", "2")
    assert frames == ["b1", "b2"]


def test_a_job_that_goes_back_to_the_queue_holds_nobody_up() -> None:
    turns, frames = Turns[str](), list[str]()
    for job in "abc":
        turns.begin(job)
    told(turns, frames, "b", "1")
    told(turns, frames, "c", "1")
    turns.leave("b", frames)
    assert frames == []
    turns.leave("a", frames)
    assert frames == ["c1"]
    turns.begin("b")
    told(turns, frames, "b", "2")
    turns.end("c", frames)
    assert frames == ["c1", "b2"]


def leased(job: str) -> JobLeased:
    return JobLeased(job_id=job, time_ms=0)


def started(job: str) -> JobStarted:
    return JobStarted(job_id=job, time_ms=0)


def finished(job: str) -> JobFinished:
    return JobFinished(job_id=job, time_ms=0, state="completed", duration_s=0.0)


def jobs_in(frames: list[Any]) -> list[str]:
    """Whose starts and ends were told, in order."""
    messages = [orjson.loads(frame) for frame in frames]
    kinds = ("execution_start", "execution_success")
    return [message["data"]["prompt_id"] for message in messages if message["type"] in kinds]


def translated(*happened: Any) -> list[str]:
    translator = Translator(lambda: 0)
    return jobs_in(translator.frames([FeedMessage(number, event) for number, event in enumerate(happened)]))


def test_a_client_is_told_in_the_order_of_the_queue_although_a_later_job_starts_first() -> None:
    happened = (leased("a"), leased("b"), started("b"), finished("b"), started("a"), finished("a"))
    assert translated(*happened) == ["a", "a", "b", "b"]


def test_a_job_that_was_given_back_does_not_hold_up_the_next() -> None:
    again = JobRequeued(job_id="a", time_ms=0, attempts=1, reason="its worker died")
    assert translated(leased("a"), leased("b"), started("b"), again, finished("b")) == ["b", "b"]
