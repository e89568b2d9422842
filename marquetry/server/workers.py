"""The workers that settings ask for."""

from __future__ import annotations

from marquetry.server.jobs.workers.engine import FACTORY, build_engine, options_of
from marquetry.server.jobs.workers.inline import InlineWorker
from marquetry.server.jobs.workers.process import ProcessWorker
from marquetry.server.jobs.workers.worker import Worker
from marquetry.server.settings import Settings


def workers_of(settings: Settings) -> list[Worker]:
    """One in this process, or as many child processes as are wanted. None of them is started yet."""
    options = options_of(settings)
    if settings.workers == "inline":
        return [InlineWorker(lambda: build_engine(options))]
    return [ProcessWorker(FACTORY, options, name=f"process-{number + 1}") for number in range(settings.worker_count)]
