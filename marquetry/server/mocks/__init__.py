"""Mock services: outside services as local peers, written from their public API documents, for the development profile and for tests.

Each module here is one service and is found by scanning: `application(content)` makes its routes, where `content` is the folder with what it
serves, and `ENVIRONMENT` names the variables that lead the program to it, with `{url}` for its address. Their answers follow the documents;
the work behind them is not done.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType

from aiohttp import web


def services() -> Iterator[tuple[str, ModuleType]]:
    """Name and module of each service, by name."""
    for found in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        yield found.name, importlib.import_module(f"{__name__}.{found.name}")


@asynccontextmanager
async def served(content: Path, port: int = 0) -> AsyncIterator[dict[str, str]]:
    """All services on one loopback port, each below its name. Gives the variables that lead to them."""
    application = web.Application()
    for name, service in services():
        application.add_subapp(f"/{name}", service.application(content / name))
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield {
            variable: value.format(url=f"{address}/{name}")
            for name, service in services()
            for variable, value in service.ENVIRONMENT.items()
        }
    finally:
        await runner.cleanup()
