"""Turns: a client is told of its jobs one after the other, in the order in which the queue gave them out, also where they run side by side.

Scripts queue several prompts, then follow each to its end: what is told of a later one before that end would be lost on them.
"""

from __future__ import annotations

from typing import Generic, TypeVar

Frame = TypeVar("Frame")


class Turns(Generic[Frame]):
    """Holds back what concerns jobs whose turn has not come. At most as many jobs are held as run at the same time."""

    def __init__(self) -> None:
        self._order: list[str] = []
        self._held: dict[str, list[Frame]] = {}
        self._over: set[str] = set()

    def begin(self, job_id: str) -> None:
        """The job takes its place behind those that began before."""
        if job_id not in self._order:
            self._order.append(job_id)

    def is_held(self, job_id: str) -> bool:
        return job_id in self._order and self._order[0] != job_id

    def place(self, job_id: str, frames: list[Frame]) -> list[Frame]:
        """Where what is told of the job goes: to the `frames` that are sent now, or aside."""
        return self._held.setdefault(job_id, []) if self.is_held(job_id) else frames

    def end(self, job_id: str, frames: list[Frame]) -> None:
        """The job is over; the next ones have their turn when those before are over too."""
        if job_id not in self._order:
            return
        self._over.add(job_id)
        while self._order and self._order[0] in self._over:
            self._over.remove(self._order.pop(0))
            if self._order:
                frames += self._held.pop(self._order[0], [])

    def leave(self, job_id: str, frames: list[Frame]) -> None:
        """The job went back to the queue: it takes a new place when it is given out again, and what was held of this try is not told."""
        if self.is_held(job_id):
            self._order.remove(job_id)
            self._held.pop(job_id, None)
        else:
            self.end(job_id, frames)

    def release(self, frames: list[Frame]) -> None:
        """Hold nothing back any more: it is not known which jobs are over."""
        for job_id in self._order:
            frames += self._held.pop(job_id, [])
        self._order.clear()
        self._over.clear()
