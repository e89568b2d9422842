"""Files of a user: graphs, subgraphs, styles."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from pydantic import BaseModel, Field

from marquetry.server.caller import OWNER_HEADER, owner_of
from marquetry.server.comfy import PREFIXES
from marquetry.server.http.answer import empty, json_answer
from marquetry.server.http.body import read_bytes, read_query
from marquetry.server.http.files import file_answer
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.keys import FOLDERS, PEOPLE
from marquetry.server.userdata import UserData

routes = RouteTable("ComfyUI: users", PREFIXES)


class ListQuery(BaseModel):
    dir: str = Field(description="folder below the user's own")
    recurse: bool = False
    full_info: bool = Field(default=False, description="with size and times")
    split: bool = Field(default=False, description="each path followed by its parts")


class EntriesQuery(BaseModel):
    path: str = Field(default="", description="folder below the user's own")


class WriteQuery(BaseModel):
    overwrite: bool = Field(default=True, description="false: refuse when the name is taken")
    full_info: bool = Field(default=False, description="answer with size and times, not only the path")


class FileFacts(BaseModel):
    path: str
    size: int = Field(description="bytes")
    modified: float = Field(description="milliseconds since 1970")
    created: float


class Entry(BaseModel):
    name: str
    path: str
    type: str = Field(description="file or directory")
    size: int | None = None
    modified: float | None = None
    created: float | None = None


def _files(request: web.Request) -> UserData:
    return UserData(request.app[PEOPLE].home(owner_of(request)), request.app[FOLDERS])


@routes.get(
    "/userdata",
    "Files of a user",
    query=ListQuery,
    headers=OWNER_HEADER,
    answers={200: Answer("paths, paths with their parts, or facts", list[str] | list[list[str]] | list[FileFacts])},
)
async def list_files(request: web.Request) -> web.Response:
    query, files = read_query(request, ListQuery), _files(request)

    def listed() -> list[Any]:
        root = files.path(query.dir) if query.dir.strip("/") else files.home
        found = files.files(query.dir, recurse=query.recurse)
        if query.full_info:
            return [files.facts(path, root) for path in found]
        names = [path.relative_to(root).as_posix() for path in found]
        return [[name, *name.split("/")] for name in names] if query.split else names

    return json_answer(await asyncio.to_thread(listed))


@routes.add(
    "GET",
    "/v2/userdata",
    "Files and folders of a user",
    query=EntriesQuery,
    headers=OWNER_HEADER,
    answers={200: Answer("entries", list[Entry])},
)
async def list_entries(request: web.Request) -> web.Response:
    query = read_query(request, EntriesQuery)
    return json_answer(await asyncio.to_thread(_files(request).entries, query.path))


@routes.get("/userdata/{file}", "A user's file", headers=OWNER_HEADER, answers={200: Answer("its bytes", content_type="*/*")})
async def read_file(request: web.Request) -> web.StreamResponse:
    """A `/` inside the name is written %2F."""
    path = await asyncio.to_thread(_files(request).find, request.match_info["file"])
    return file_answer(path)


@routes.post(
    "/userdata/{file}",
    "Keep a file",
    query=WriteQuery,
    headers=OWNER_HEADER,
    body=bytes,
    body_type="application/octet-stream",
    answers={200: Answer("its path, or facts", str | FileFacts), 409: Answer("the name is taken")},
)
async def write_file(request: web.Request) -> web.Response:
    query, files = read_query(request, WriteQuery), _files(request)
    data = await read_bytes(request)

    def written() -> Any:
        path = files.write(request.match_info["file"], data, overwrite=query.overwrite)
        return files.facts(path) if query.full_info else files.name(path)

    return json_answer(await asyncio.to_thread(written))


@routes.delete("/userdata/{file}", "Delete a file", headers=OWNER_HEADER, answers={204: Answer("deleted")})
async def delete_file(request: web.Request) -> web.Response:
    files = _files(request)
    await asyncio.to_thread(lambda: files.find(request.match_info["file"]).unlink())
    return empty(204)


@routes.post(
    "/userdata/{file}/move/{dest}",
    "Rename a file",
    query=WriteQuery,
    headers=OWNER_HEADER,
    body_required=False,
    answers={200: Answer("its new path, or facts", str | FileFacts), 409: Answer("the name is taken")},
)
async def move_file(request: web.Request) -> web.Response:
    query, files = read_query(request, WriteQuery), _files(request)

    def moved() -> Any:
        path = files.move(request.match_info["file"], request.match_info["dest"], overwrite=query.overwrite)
        return files.facts(path) if query.full_info else files.name(path)

    return json_answer(await asyncio.to_thread(moved))
