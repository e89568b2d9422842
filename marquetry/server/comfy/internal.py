"""/internal: what the editor's own panels read: the log, folders and their files. Not below `/api`, and for the editor only."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from pydantic import BaseModel, Field

from marquetry.server.caller import client_place, folders_of_caller
from marquetry.server.http.access import CALLER, Access
from marquetry.server.http.answer import empty, json_answer
from marquetry.server.http.body import read_model
from marquetry.server.http.errors import NotFound, RequestError
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.keys import FOLDERS, LOGS, SOCKETS

routes = RouteTable("ComfyUI: internal", ("/internal",), access=Access(permission="server.see"))
MAX_LISTED = 10_000


class LogLines(BaseModel):
    entries: list[dict[str, str]] = Field(description="t: time, m: text")
    size: dict[str, int] | None = Field(description="columns and rows of the terminal, where there is one")


class LogSubscription(BaseModel):
    clientId: str
    enabled: bool


@routes.get("/logs", "The log as one text", answers={200: Answer("the newest lines", str)})
async def logs(request: web.Request) -> web.Response:
    return json_answer("".join(f"{entry['t']} - {entry['m']}" for entry in request.app[LOGS].entries))


@routes.get("/logs/raw", "The log by line", answers={200: Answer("the newest lines", LogLines)})
async def raw_logs(request: web.Request) -> web.Response:
    return json_answer({"entries": list(request.app[LOGS].entries), "size": None})


@routes.patch("/logs/subscribe", "Hear of new lines on the WebSocket", body=LogSubscription, answers={200: Answer("done")})
async def subscribe_logs(request: web.Request) -> web.Response:
    wanted = await read_model(request, LogSubscription)
    client = request.app[SOCKETS].find(client_place(request, wanted.clientId))
    if client is None:
        raise RequestError("no WebSocket with that clientId is open")
    client.wants_logs = wanted.enabled
    return empty()


@routes.get("/folder_paths", "Folders of each kind of model", answers={200: Answer("paths by kind", dict[str, list[str]])})
async def folder_paths(request: web.Request) -> web.Response:
    folders = request.app[FOLDERS]
    return json_answer({kind: [str(path) for path in places] for kind, (places, _) in folders.kinds.items()})


@routes.get("/files/{directory_type}", "Files of a folder", access=CALLER, answers={200: Answer("names, newest first", list[str])})
async def files(request: web.Request) -> web.Response:
    kind = request.match_info["directory_type"]
    if kind not in ("input", "output", "temp"):
        raise NotFound("the folders are input, output and temp")
    folder = folders_of_caller(request).directory(kind)

    def listed() -> list[Any]:
        if not folder.is_dir():
            return []
        found = [(path.stat().st_mtime, path.name) for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
        return [name for _, name in sorted(found, reverse=True)[:MAX_LISTED]]

    return json_answer(await asyncio.to_thread(listed))
