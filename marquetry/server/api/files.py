"""Files: upload what a graph reads, download what it made."""

from __future__ import annotations

import asyncio
import hashlib
from urllib.parse import quote

from aiohttp import web
from pydantic import BaseModel, Field

from marquetry.server.api import PREFIXES
from marquetry.server.caller import folders_of_caller
from marquetry.server.comfy.view import locate
from marquetry.server.http.access import Access
from marquetry.server.http.answer import json_answer
from marquetry.server.http.files import file_answer, safe_media_type
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.keys import SETTINGS
from marquetry.server.uploads import receive, store

routes = RouteTable("Files", PREFIXES)
UPLOAD = Access(rate="upload")


class FileForm(BaseModel):
    file: bytes = Field(description="the file", json_schema_extra={"format": "binary"})
    subfolder: str = Field(default="", description="folder below input")
    overwrite: str = Field(default="false", description="true: replace a file of that name")


class StoredFile(BaseModel):
    """`name` with its subfolder is what nodes such as LoadImage take."""

    name: str
    url: str
    media_type: str
    size_bytes: int
    sha256: str


@routes.post(
    "/files",
    "Upload a file",
    body=FileForm,
    body_type="multipart/form-data",
    access=UPLOAD,
    answers={201: Answer("it is stored", StoredFile, headers={"Location": "where the file is"})},
)
async def upload(request: web.Request) -> web.Response:
    """Pictures are known by their content and lose what tells of a person, such as EXIF places."""
    received = await receive(request, request.app[SETTINGS].limits.upload_bytes, field="file")
    received.fields["type"] = "input"
    folders = folders_of_caller(request)

    def stored() -> StoredFile:
        place = store(received, folders, request.app[SETTINGS].limits.image_pixels)
        name = f"{place['subfolder']}/{place['name']}" if place["subfolder"] else place["name"]
        data = folders.inside(folders.input, name).read_bytes()
        return StoredFile(
            name=name,
            url=f"/api/v1/files/input/{quote(name)}",
            media_type=safe_media_type(name),
            size_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
        )

    answer = await asyncio.to_thread(stored)
    return json_answer(answer, 201, {"Location": answer.url})


@routes.get(
    "/files/{folder}/{name:.+}",
    "A file",
    answers={
        200: Answer("the bytes of the file", content_type="*/*"),
        206: Answer("a part of it, as Range asked", content_type="*/*"),
        304: Answer("the caller has it already"),
    },
)
async def download(request: web.Request) -> web.StreamResponse:
    """`folder` is input, output or temp."""
    match = request.match_info
    return file_answer(await asyncio.to_thread(locate, folders_of_caller(request), match["name"], match["folder"]))
