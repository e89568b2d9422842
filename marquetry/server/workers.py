"""The workers that settings ask for. The engine itself is imported only where it runs."""

from __future__ import annotations

import uuid
from typing import Any

from marquetry.server.jobs.workers.process import ProcessWorker
from marquetry.server.jobs.workers.worker import RUN_VARIABLE, Worker
from marquetry.server.settings import HIDDEN, Settings

FACTORY = "marquetry.server.jobs.workers.engine:build_engine"


def options_of(settings: Settings) -> dict[str, Any]:
    """The settings as plain values for a child process. Secrets are not among them: an engine needs none."""
    return {name: value for name, value in settings.shown().items() if value != HIDDEN}


def workers_of(settings: Settings) -> list[Worker]:
    """One in this process, or as many child processes as are wanted. None of them is started yet."""
    options = options_of(settings)
    if settings.workers == "inline":
        from marquetry.server.jobs.workers.engine import build_engine
        from marquetry.server.jobs.workers.inline import InlineWorker

        return [InlineWorker(lambda: build_engine(options))]
    run = {RUN_VARIABLE: uuid.uuid4().hex}  # a worker that is started again finds what the one before it recorded
    return [ProcessWorker(FACTORY, options, f"process-{number + 1}", run) for number in range(settings.worker_count)]
