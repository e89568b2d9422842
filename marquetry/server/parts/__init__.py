"""Parts of the server that live beside the queue: each module here is found by scanning and started with the application.

A part is a module with `install(application)`, which puts what handlers need under typed keys of its own before any route is served, or with
`run(application)`, an async generator that starts something, yields once and stops it; or with both. Parts find the database, the jobs and the
settings under `server.keys`. They are installed and run in the order of their names and don't depend on it: what they need of each other
they look up when it is needed.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

from aiohttp import web


def parts() -> Iterator[ModuleType]:
    """All parts, by name."""
    for found in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        yield importlib.import_module(f"{__name__}.{found.name}")


def install(application: web.Application) -> None:
    """Install every part, and have it run while the application does."""
    for part in parts():
        if hasattr(part, "install"):
            part.install(application)
        if hasattr(part, "run"):
            application.cleanup_ctx.append(part.run)
