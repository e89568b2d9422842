"""Files: upload what a graph reads, download what it made."""

from __future__ import annotations

import asyncio

from aiohttp import web
from pydantic import BaseModel, Field

from marquetry.server.api import PREFIXES
from marquetry.server.api.file_models import FileInfo, Purpose, info
from marquetry.server.caller import OWNER_HEADER, folders_of_caller, job_owner
from marquetry.server.comfy.view import locate
from marquetry.server.http.access import Access
from marquetry.server.http.answer import json_answer
from marquetry.server.http.errors import RequestError
from marquetry.server.http.files import file_answer
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.keys import SETTINGS
from marquetry.server.storage.content_type import PURPOSES
from marquetry.server.storage.intake import Wanted, take_over
from marquetry.server.storage.receiving import received
from marquetry.server.storage.room import STORAGE

routes = RouteTable("Files", PREFIXES)
UPLOAD = Access(rate="upload")


class FileForm(BaseModel):
    file: bytes = Field(description="the file", json_schema_extra={"format": "binary"})
    purpose: Purpose = Field(default="input", description="what it is for; by that its type is checked")
    subfolder: str = Field(default="", description="folder below input")
    overwrite: str = Field(default="false", description="true: replace a file of that name")


@routes.post(
    "/files",
    "Upload a file",
    body=FileForm,
    body_type="multipart/form-data",
    headers=OWNER_HEADER,
    access=UPLOAD,
    also=("/api/v1/files/upload", "/api/files/upload"),
    answers={201: Answer("it is stored", FileInfo, headers={"Location": "where the file is"})},
)
async def upload(request: web.Request) -> web.Response:
    """Files are known by their content, and lose what tells of a person, such as EXIF places. What graphs read stands in `input`."""
    return await keep_upload(request, FileForm.model_fields["purpose"].default)


async def keep_upload(request: web.Request, purpose: str, allowed: tuple[str, ...] = tuple(PURPOSES)) -> web.Response:
    """Take the file of a form. Raises what `received` and `take_over` do."""
    storage, limits = request.app[STORAGE].storage, request.app[SETTINGS].limits
    owner = job_owner(request)
    await storage.require_room(owner, 1)
    async with received(request, storage.scratch(), limits.upload_bytes) as form:
        chosen = form.fields.get("purpose") or purpose
        if chosen not in allowed:
            raise RequestError(f"purpose is one of {', '.join(allowed)}; not '{chosen[:40]}'")
        overwrite = form.fields.get("overwrite", "").lower() in ("true", "1")
        wanted = Wanted(owner, form.filename, chosen, form.fields.get("subfolder", ""), overwrite)
        file = await take_over(storage, form.path, wanted, limits.image_pixels)
    return json_answer(info(file), 201, {"Location": f"/api/v1/files/{file.id}"})


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
