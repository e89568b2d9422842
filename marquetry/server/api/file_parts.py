"""Uploads in parts, for large files and bad lines: begin, send parts from where it stands, complete with a check of the hash."""

from __future__ import annotations

import asyncio

from aiohttp import web
from pydantic import BaseModel, Field

from marquetry.server.api import PREFIXES
from marquetry.server.api.file_models import FileInfo, UploadBegun, UploadDone, UploadState, info
from marquetry.server.caller import OWNER_HEADER, job_owner, owner_filter
from marquetry.server.http.access import Access
from marquetry.server.http.answer import empty, json_answer
from marquetry.server.http.body import read_model, read_query
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.jobs.live import now_ms
from marquetry.server.keys import SETTINGS
from marquetry.server.storage.inspection import hash_of
from marquetry.server.storage.intake import Wanted, checked, take_over
from marquetry.server.storage.parts import UPLOAD_ID, PartUpload, find_upload, new_upload_id
from marquetry.server.storage.receiving import append
from marquetry.server.storage.room import STORAGE

routes = RouteTable("Files", PREFIXES, access=Access(rate="upload"))
ONE = f"/files/uploads/{{upload_id:{UPLOAD_ID}}}"
PART_BYTES = 64 * 2**20


class PartQuery(BaseModel):
    offset: int = Field(ge=0, le=2**45, description="where the part begins in the file")


@routes.post(
    "/files/uploads",
    "Begin an upload in parts",
    body=UploadBegun,
    headers=OWNER_HEADER,
    answers={201: Answer("it is begun", UploadState, headers={"Location": "where the upload is"})},
)
async def begin(request: web.Request) -> web.Response:
    """Send the parts with PATCH, each at most `part_bytes` long; when one breaks off, GET tells where to go on."""
    body, uploads = await read_model(request, UploadBegun), request.app[STORAGE].uploads
    wanted = checked(Wanted(job_owner(request), body.filename, body.purpose, body.subfolder))
    now = now_ms()
    ends_ms = now + int(request.app[SETTINGS].storage.upload_hours * 3_600_000)
    sha256 = None if body.sha256 is None else body.sha256.lower()
    upload = PartUpload(
        new_upload_id(), wanted.owner, wanted.filename, body.size_bytes, sha256, wanted.purpose, wanted.subfolder, now, ends_ms
    )
    await uploads.begin(upload)
    return json_answer(_state(upload, 0), 201, {"Location": f"/api/v1/files/uploads/{upload.id}"})


@routes.get(ONE, "Where an upload stands", headers=OWNER_HEADER, answers={200: Answer("how much has come", UploadState)})
async def state(request: web.Request) -> web.Response:
    upload = await _find(request)
    return json_answer(_state(upload, request.app[STORAGE].uploads.offset(upload.id)))


@routes.patch(
    ONE,
    "Send a part",
    query=PartQuery,
    headers=OWNER_HEADER,
    body=bytes,
    body_type="application/octet-stream",
    answers={200: Answer("how much has come", UploadState)},
)
async def part(request: web.Request) -> web.Response:
    """Of a part that breaks off, what came stays."""
    query, upload, uploads = read_query(request, PartQuery), await _find(request), request.app[STORAGE].uploads
    async with uploads.alone(upload.id):
        uploads.require_offset(upload, query.offset)
        limit = min(upload.size_bytes, query.offset + PART_BYTES)
        offset = await append(request, uploads.path(upload.id), limit)
    return json_answer(_state(upload, offset))


@routes.post(
    f"{ONE}/complete",
    "Complete an upload",
    body=UploadDone,
    body_required=False,
    headers=OWNER_HEADER,
    answers={201: Answer("it is stored", FileInfo, headers={"Location": "where the file is"})},
)
async def complete(request: web.Request) -> web.Response:
    """The hash is that of what was sent. The file is then checked and cleaned as every upload."""
    body, upload = await read_model(request, UploadDone, empty={}), await _find(request)
    room = request.app[STORAGE]
    path = room.uploads.path(upload.id)
    async with room.uploads.alone(upload.id):
        found, size = await room.storage.run(hash_of, path) if path.is_file() else ("", 0)
        room.uploads.require_whole(upload, body.sha256, found, size)
        wanted = Wanted(upload.owner, upload.filename, upload.purpose, upload.subfolder)
        try:
            file = await take_over(room.storage, path, wanted, request.app[SETTINGS].limits.image_pixels)
        finally:
            await asyncio.shield(room.uploads.end(upload.id))
    return json_answer(info(file), 201, {"Location": f"/api/v1/files/{file.id}"})


@routes.delete(ONE, "Cancel an upload", headers=OWNER_HEADER, answers={204: Answer("what came is deleted")})
async def cancel(request: web.Request) -> web.Response:
    upload, uploads = await _find(request), request.app[STORAGE].uploads
    async with uploads.alone(upload.id):
        await uploads.end(upload.id)
    return empty(204)


async def _find(request: web.Request) -> PartUpload:
    database = request.app[STORAGE].storage.database
    return await database.read(find_upload, request.match_info["upload_id"], owner_filter(request), now_ms())


def _state(upload: PartUpload, offset: int) -> UploadState:
    return UploadState(id=upload.id, offset=offset, size_bytes=upload.size_bytes, part_bytes=PART_BYTES, expires_ms=upload.expires_ms)
