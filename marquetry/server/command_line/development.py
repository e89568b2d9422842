"""The development profile: the server starts anew when its sources change, beside mocks of outside services."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from marquetry.server.settings import Settings

CHILD_VARIABLE = "MARQUETRY_RELOADED"  # set in the server that is started anew, so that it doesn't watch too
STOP_S = 15  # a little longer than the server lets running jobs finish
WATCHED = (".py", ".yaml", ".yml")


def is_child() -> bool:
    """Whether this process was started by `watch`."""
    return CHILD_VARIABLE in os.environ


def watched_paths(settings: Settings) -> list[Path]:
    """The program itself, the node packs and the configuration, as far as they are there."""
    from marquetry.server.data_folders import folders_of

    packs = folders_of(settings).custom_nodes
    return [path for path in (Path(__file__).parents[2], settings.data / "marquetry.yaml", *packs) if path.exists()]


def watch(settings: Settings) -> None:
    """Run this very command in a child, and again whenever a source file changes. Jobs go on from the queue of record."""
    import shlex

    from watchfiles import Change, run_process

    def is_source(change: Change, path: str) -> bool:
        return path.endswith(WATCHED) and "__pycache__" not in path

    def told(changes: set[tuple[Change, str]]) -> None:
        names = ", ".join(sorted({Path(path).name for _, path in changes}))
        print(f"{names} changed: starting anew", file=sys.stderr)

    os.environ[CHILD_VARIABLE] = "1"
    command = shlex.join([sys.executable, "-m", "marquetry", *sys.argv[1:]])
    run_process(
        *watched_paths(settings),
        target=command,
        target_type="command",
        watch_filter=is_source,
        callback=told,
        sigint_timeout=STOP_S,
        sigkill_timeout=1,
    )


@contextmanager
def with_mocks(settings: Settings, read: Callable[[], Settings]) -> Iterator[Settings]:
    """Mocks of outside services in a thread of this process, and the settings as they are read with the mocks' variables set."""
    from marquetry.server.mocks import served

    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    started: Future[dict[str, str]] = Future()

    async def serve() -> None:
        try:
            async with served(settings.data / "mocks") as variables:
                started.set_result(variables)
                await stop.wait()
        except OSError as error:
            started.set_exception(error)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="mock-services", daemon=True)
    thread.start()
    environment = started.result()
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield read()
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
