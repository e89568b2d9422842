"""The loop that every training runs in: resumes, saves, reports, measures its pace, stops at any step and loses none."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from marquetry.engine.errors import Interrupted
from marquetry.engine.training.stage import Stage

SAVE_INTERVAL_S = 60.0
PACE_MEMORY = 0.9
LOSS_MEMORY = 0.98


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a training stands after a step; `mean_loss` is smoothed over some fifty steps."""

    step: int
    steps: int
    loss: float
    mean_loss: float
    seconds_per_step: float

    @property
    def remaining_s(self) -> float:
        """How long it will still take at this pace."""
        return (self.steps - self.step) * self.seconds_per_step

    def text(self) -> str:
        """One line for a person."""
        return (
            f"step {self.step} of {self.steps}, loss {self.mean_loss:.4f}, {self.seconds_per_step:.2f} s a step, "
            f"{_duration(self.remaining_s)} left"
        )


Listener = Callable[[Moment], None]


@dataclass
class Loop:
    """Runs a stage to its end. `state` is where it is kept meanwhile; what is there is gone on from when `resume` is set.

    `check` is called before each step and raises Interrupted to stop: the state is saved first. `every` steps, and after the
    last, `visit` is called, such as for pictures.
    """

    stage: Stage
    state: Path | None = None
    resume: bool = True
    listener: Listener = field(default=lambda moment: None)
    check: Callable[[], None] = field(default=lambda: None)
    every: int = 0
    visit: Callable[[int], None] = field(default=lambda step: None)
    save_interval_s: float = SAVE_INTERVAL_S

    def run(self) -> None:
        """Trains. Raises Interrupted (state saved) and TrainingFailed (the last sound state stays)."""
        stage = self.stage
        if self.state is not None and self.resume and self.state.exists():
            stage.load(self.state)
        saved = time.monotonic()
        pace = mean = 0.0
        try:
            while stage.step < stage.steps:
                self.check()
                begin = time.monotonic()
                loss = stage.advance()
                took = time.monotonic() - begin
                pace = took if pace == 0.0 else PACE_MEMORY * pace + (1.0 - PACE_MEMORY) * took
                mean = loss if mean == 0.0 else LOSS_MEMORY * mean + (1.0 - LOSS_MEMORY) * loss
                self.listener(Moment(stage.step, stage.steps, loss, mean, pace))
                if self.every and (stage.step % self.every == 0 or stage.step == stage.steps):
                    self.visit(stage.step)
                if time.monotonic() - saved > self.save_interval_s:
                    self._save()
                    saved = time.monotonic()
        except (Interrupted, KeyboardInterrupt):
            self._save()
            raise
        self._save()

    def _save(self) -> None:
        if self.state is not None:
            self.state.parent.mkdir(parents=True, exist_ok=True)
            self.stage.save(self.state)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
