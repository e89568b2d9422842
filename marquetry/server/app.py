"""The application: all routes over one queue, one set of folders and one set of node types. Nothing here imports a model library."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from aiohttp import web

import marquetry.graphs
from marquetry.engine.folders import Folders
from marquetry.engine.graph import GraphLimits
from marquetry.engine.registry import Registry
from marquetry.server import keys
from marquetry.server.api import events, files, health, nodes, suggestions
from marquetry.server.api import jobs as api_jobs
from marquetry.server.api import weights as api_weights
from marquetry.server.check import GraphCheck
from marquetry.server.comfy import (
    extensions,
    features,
    history,
    internal,
    models,
    object_info,
    prompt,
    queue,
    system,
    upload,
    userdata,
    users,
    view,
    websocket,
)
from marquetry.server.comfy import jobs as comfy_jobs
from marquetry.server.comfy.sockets import Sockets
from marquetry.server.http.gate import Gate
from marquetry.server.http.origin import OriginGuard
from marquetry.server.http.routes import RouteTable, install
from marquetry.server.jobs.service import JobService
from marquetry.server.logs import LogBuffer
from marquetry.server.object_info import ObjectInfo
from marquetry.server.openapi import OpenApi
from marquetry.server.packs import PackFiles
from marquetry.server.pages import routes as pages
from marquetry.server.people import People
from marquetry.server.settings import Settings

logger = logging.getLogger(__name__)
DRAIN_S = 10.0
TABLES: tuple[RouteTable, ...] = (
    api_jobs.routes, api_jobs.aliases, events.routes, nodes.routes, api_weights.routes, files.routes, suggestions.routes, health.routes,
    prompt.routes, queue.routes, history.routes, comfy_jobs.routes, websocket.routes, object_info.routes, view.routes, upload.routes,
    models.routes, system.routes, features.routes, users.routes, userdata.routes, extensions.routes, extensions.static, internal.routes,
    pages.routes,
)  # fmt: skip


def create_app(
    settings: Settings,
    jobs: JobService,
    registry: Registry,
    folders: Folders,
    *,
    web_directories: Mapping[str, Path] | None = None,
    logs: LogBuffer | None = None,
) -> web.Application:
    """All routes. Starting the application starts `jobs`, ending it stops them. `web_directories` are folders of packs' scripts by name."""
    application = web.Application(client_max_size=settings.limits.body_bytes)
    application[keys.SETTINGS] = settings
    application[keys.JOBS] = jobs
    application[keys.FOLDERS] = folders
    limits = GraphLimits(nodes=settings.limits.graph_nodes, expanded_nodes=settings.limits.expansion_nodes)
    application[keys.CHECK] = GraphCheck(registry, folders, jobs, limits)
    application[keys.OBJECT_INFO] = ObjectInfo(registry, folders, jobs, settings.data / "cache" / "node_types.json")
    application[keys.PEOPLE] = People(folders.user, settings.multi_user)
    application[keys.PACK_FILES] = PackFiles(folders, Path(marquetry.graphs.__path__[0]), dict(web_directories or {}))
    application[keys.SOCKETS] = Sockets()
    application[keys.LOGS] = logs or LogBuffer()
    application[keys.STARTED_S] = time.monotonic()
    Gate(OriginGuard(settings.cors_origin, not settings.reachable_from_elsewhere)).install(application)
    application[keys.OPENAPI] = OpenApi(install(application, TABLES))
    application.cleanup_ctx.append(_run_jobs)
    application.cleanup_ctx.append(_tell_logs)
    application.on_shutdown.append(_say_goodbye)
    return application


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
