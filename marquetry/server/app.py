"""The application: all routes over one queue, one set of folders and one set of node types. Nothing here imports a model library."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import uvloop
from aiohttp import web

import marquetry.graphs
import marquetry.nodes
from marquetry.engine.folders import Folders
from marquetry.engine.registry import Registry
from marquetry.server import api, comfy, keys, pages, parts
from marquetry.server.check import GraphCheck
from marquetry.server.comfy.sockets import Sockets
from marquetry.server.data_folders import folders_of
from marquetry.server.database.database import Database
from marquetry.server.http.errors import CannotListen
from marquetry.server.http.gate import Gate
from marquetry.server.http.origin import OriginGuard
from marquetry.server.http.routes import find_tables, install
from marquetry.server.jobs.service import JobService
from marquetry.server.logs import LogBuffer, configure
from marquetry.server.object_info import ObjectInfo
from marquetry.server.openapi import OpenApi
from marquetry.server.packs import PackFiles
from marquetry.server.people import People
from marquetry.server.settings import Settings
from marquetry.server.workers import workers_of

logger = logging.getLogger(__name__)
DRAIN_S = 10.0
MAX_LINE_BYTES = 32 * 1024  # of a request's first line: prompts of the longest kind, percent-encoded
CLOSE_S = 2.0  # how long connections may take to end


def create_app(
    settings: Settings,
    jobs: JobService,
    registry: Registry,
    folders: Folders,
    *,
    logs: LogBuffer | None = None,
) -> web.Application:
    """All routes. Starting the application starts `jobs`, ending it stops them."""
    application = web.Application(client_max_size=settings.limits.body_bytes)
    application[keys.SETTINGS] = settings
    application[keys.JOBS] = jobs
    application[keys.DATABASE] = jobs.database
    application[keys.FOLDERS] = folders
    limits = settings.limits.of_graphs()
    application[keys.CHECK] = GraphCheck(registry, folders, jobs, limits)
    packs = PackFiles(folders, Path(marquetry.graphs.__path__[0]))
    application[keys.PACK_FILES] = packs
    application[keys.OBJECT_INFO] = ObjectInfo(registry, folders, jobs, packs, settings.data / "cache" / "node_types.json")
    application[keys.PEOPLE] = People(folders.user, settings.multi_user)
    application[keys.SOCKETS] = Sockets()
    application[keys.LOGS] = logs or LogBuffer()
    application[keys.STARTED_S] = time.monotonic()
    Gate(OriginGuard(settings.cors_origin, not settings.reachable_from_elsewhere), tells_reasons=settings.in_development).install(
        application
    )
    application[keys.OPENAPI] = OpenApi(install(application, find_tables(api, comfy, pages)))
    application.cleanup_ctx.append(_run_jobs)
    application.cleanup_ctx.append(_tell_logs)
    parts.install(application)
    application.on_shutdown.append(_say_goodbye)
    return application


def serve(settings: Settings, listening: Callable[[str], None] = lambda address: None) -> None:
    """Serve until SIGTERM or SIGINT; then finish what runs, within reason. `listening` is told the address. Raises ServerError."""
    uvloop.run(_serve(settings, listening))


async def _serve(settings: Settings, listening: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    logs = LogBuffer()
    configure(settings.log_level, logs)
    registry = Registry()
    registry.scan(marquetry.nodes)
    folders = folders_of(settings)
    settings.data.mkdir(parents=True, exist_ok=True)
    database = await Database.open(settings.database)
    try:
        jobs = JobService(
            database,
            workers_of(settings),
            concurrent_jobs=settings.concurrent_jobs,
            quick_jobs=settings.quick_jobs,
            queued_per_client=settings.limits.queued_jobs_per_client,
            starvation_s=settings.automation.starvation_s,
            stuck=settings.automation.stuck_limits(),
        )
        application = create_app(settings, jobs, registry, folders, logs=logs)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=CLOSE_S, max_line_size=MAX_LINE_BYTES)
        await runner.setup()
        try:
            await _listen(runner, settings)
            host, port = runner.addresses[0][:2]
            listening(f"http://{f'[{host}]' if ':' in host else host}:{port}")
            await stop.wait()
            logger.info("stopping: what runs may finish within %g s", DRAIN_S)
        finally:
            await runner.cleanup()
    finally:
        await database.close()


async def _listen(runner: web.AppRunner, settings: Settings) -> None:
    for host in settings.host.split(","):
        try:
            await web.TCPSite(runner, host.strip().strip("[]"), settings.port, reuse_address=True).start()
        except OSError as error:
            raise CannotListen(f"{host} port {settings.port} can't be listened on: {error.strerror}; choose another with --port") from error


async def _run_jobs(application: web.Application) -> AsyncIterator[None]:
    jobs = application[keys.JOBS]
    await asyncio.to_thread(application[keys.FOLDERS].create)
    await jobs.start()
    yield
    await jobs.stop(DRAIN_S)


async def _tell_logs(application: web.Application) -> AsyncIterator[None]:
    """Send new lines of the log to the sockets that asked for them, from whatever thread they come."""
    loop, sockets, logs = asyncio.get_running_loop(), application[keys.SOCKETS], application[keys.LOGS]

    def tell(entry: dict[str, str]) -> None:
        loop.call_soon_threadsafe(sockets.send_log, entry)

    logs.listeners.append(tell)
    yield
    logs.listeners.remove(tell)


async def _say_goodbye(application: web.Application) -> None:
    await application[keys.SOCKETS].close()
