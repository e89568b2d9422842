"""GET /view: files of `input`, `output` and `temp`, as they are, smaller, or only some of their channels."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Literal

from aiohttp import web
from aiohttp.helpers import ETag
from pydantic import BaseModel, Field

from marquetry.engine.errors import UnsafePath
from marquetry.engine.folders import ANNOTATION, Folders
from marquetry.server.caller import OWNER_HEADER, folders_of_caller
from marquetry.server.comfy import PREFIXES
from marquetry.server.http.body import read_query
from marquetry.server.http.errors import Forbidden, NotFound
from marquetry.server.http.files import REVALIDATE, disposition, file_answer
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.pictures import channel, preview, preview_format
from marquetry.server.stored_files import bring_back

routes = RouteTable("ComfyUI: files", PREFIXES)


class ViewQuery(BaseModel):
    filename: str = Field(description="name of the file; ` [input]`, ` [output]` or ` [temp]` at its end stands for type")
    type: Literal["input", "output", "temp"] = Field(default="output", description="the folder")
    subfolder: str = Field(default="", description="folder below it")
    preview: str | None = Field(default=None, description="format and quality to look at, as in webp;90")
    channel: str = Field(default="rgba", description="rgba as it is, rgb without transparency, a only the transparency")


@routes.get(
    "/view",
    "A file",
    query=ViewQuery,
    headers=OWNER_HEADER,
    answers={
        200: Answer("the bytes of the file", content_type="*/*"),
        206: Answer("a part of it, as Range asked", content_type="*/*"),
        304: Answer("the caller has it already"),
    },
)
async def view(request: web.Request) -> web.StreamResponse:
    """Pages, scripts, styles and SVG come as plain bytes for download. Answers Range and If-None-Match."""
    query = read_query(request, ViewQuery)
    await bring_back(request, query.filename, query.type, query.subfolder)
    path = await asyncio.to_thread(locate, folders_of_caller(request), query.filename, query.type, query.subfolder)
    if query.preview is not None:
        format, quality = preview_format(query.preview)
        known = await _known(request, path, f"{format};{quality};{query.channel}")
        if known is not None:
            return known
        data = await asyncio.to_thread(preview, path, format, quality, rgb=query.channel == "rgb")
        return await _made(path, data, f"image/{format.lower()}", f"{format};{quality};{query.channel}")
    if query.channel in ("rgb", "a"):
        known = await _known(request, path, query.channel)
        if known is not None:
            return known
        return await _made(path, await asyncio.to_thread(channel, path, query.channel), "image/png", query.channel)
    return file_answer(path)


def locate(folders: Folders, name: str, kind: str, subfolder: str = "") -> Path:
    """The file that a name stands for. Raises UnsafePath for a name that could leave, Forbidden for a folder that does, NotFound."""
    match = ANNOTATION.match(name)
    if match:
        name, kind = match["name"], match["kind"]
    if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or "\x00" in name or not name:
        raise UnsafePath(f"'{name[:100]}' is not a name of a file inside its folder")
    root = folders.directory(kind)
    try:
        folder = folders.inside(root, subfolder) if subfolder.strip("/") or subfolder.startswith("/") else root
        path = folders.inside(folder, name)
        if root.resolve() not in path.parents:
            raise UnsafePath(f"'{name}' leads out of its folder")
    except UnsafePath as error:
        raise Forbidden(error.message) from error
    if not path.is_file():
        raise NotFound(f"there is no file '{name[:200]}' in {kind}{'/' + subfolder[:200] if subfolder else ''}")
    return path


async def _known(request: web.Request, path: Path, form: str) -> web.Response | None:
    tag = await asyncio.to_thread(_tag, path, form)
    if any(known.value in (tag, "*") for known in request.if_none_match or ()):
        answer = web.Response(status=304, headers={"Cache-Control": REVALIDATE})
        answer.etag = ETag(tag)
        return answer
    return None


async def _made(path: Path, data: bytes, kind: str, form: str) -> web.Response:
    name = f"{path.stem}.{kind.partition('/')[2]}"
    answer = web.Response(
        body=data, headers={"Content-Type": kind, "Content-Disposition": disposition(name, kind), "Cache-Control": REVALIDATE}
    )
    answer.etag = ETag(await asyncio.to_thread(_tag, path, form))
    return answer


def _tag(path: Path, form: str) -> str:
    status = path.stat()
    return hashlib.sha256(f"{path};{status.st_mtime_ns};{status.st_size};{form}".encode()).hexdigest()[:32]
