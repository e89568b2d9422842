"""Turns: what is told of jobs that run side by side comes one job after the other."""

from __future__ import annotations

from marquetry.server.comfy.turns import Turns


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
