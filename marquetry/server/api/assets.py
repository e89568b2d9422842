"""Files of the caller: listed, seen, deleted, their bytes and small pictures of them."""

from __future__ import annotations

from aiohttp import web
from pydantic import BaseModel, Field

from marquetry.server.api import PREFIXES
from marquetry.server.api.file_models import FileDeleted, FileInfo, FileList, FromUrl, Kind, SignedFile, StorageUsage, info
from marquetry.server.api.serving import serve
from marquetry.server.caller import OWNER_HEADER, job_owner, owner_filter
from marquetry.server.http.access import Access
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import read_model, read_query
from marquetry.server.http.outbound import checked_url, fetch
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.jobs.live import now_ms
from marquetry.server.keys import SETTINGS
from marquetry.server.storage.content_type import MADE, PURPOSES
from marquetry.server.storage.file import FILE_ID, StoredFile
from marquetry.server.storage.files import FileFilter, list_files, usage_of
from marquetry.server.storage.intake import Wanted, checked, take_over
from marquetry.server.storage.links import CONTENT, THUMBNAIL
from marquetry.server.storage.room import STORAGE
from marquetry.server.storage.thumbnails import FIRST_SIZE, SIZES

routes = RouteTable("Files", PREFIXES)
ONE = f"/files/{{file_id:{FILE_ID}}}"
OPEN = Access(public=True)
UPLOAD = Access(rate="upload")
CONTENT_ANSWERS = {
    200: Answer("the bytes of the file", content_type="*/*"),
    206: Answer("a part of it, as Range asked", content_type="*/*"),
    302: Answer("they are at this address of the store", content_type="*/*", headers={"Location": "where the bytes are"}),
    304: Answer("the caller has it already"),
}


class FilesQuery(BaseModel):
    type: Kind | None = Field(default=None, description="only files of this kind")
    purpose: str | None = Field(default=None, description=f"one of {', '.join((*PURPOSES, *MADE))}")
    job_id: str | None = Field(default=None, max_length=128, description="only what this job made")
    made: bool | None = Field(default=None, description="true: only what jobs made; false: only what they did not")
    limit: int = Field(default=50, ge=1, le=500)
    offset: int = Field(default=0, ge=0, le=1_000_000_000)


class LinkQuery(BaseModel):
    expires: int | None = Field(default=None, description="of a signed address", ge=0, le=2**40)
    signature: str | None = Field(default=None, max_length=128, description="of a signed address")


class ContentQuery(LinkQuery):
    download: bool = Field(default=False, description="true: for saving, not for showing in place")


class ThumbnailQuery(LinkQuery):
    size: int = Field(default=FIRST_SIZE, description=f"longer side in pixels: {', '.join(map(str, SIZES))}")


@routes.get("/files", "Files", query=FilesQuery, headers=OWNER_HEADER, answers={200: Answer("files, newest first", FileList)})
async def all_files(request: web.Request) -> web.Response:
    """What the caller uploaded and what their jobs made."""
    query, room = read_query(request, FilesQuery), request.app[STORAGE]
    await room.settle()
    wanted = FileFilter(owner_filter(request), query.type, query.purpose, query.job_id, query.made)
    found, total = await room.storage.database.read(list_files, wanted, query.limit, query.offset)
    return json_answer(FileList(files=[info(file) for file in found], total=total, offset=query.offset, limit=query.limit))


@routes.get("/files/usage", "How much room files take", headers=OWNER_HEADER, answers={200: Answer("bytes and bounds", StorageUsage)})
async def usage(request: web.Request) -> web.Response:
    storage = request.app[STORAGE].storage
    found = await storage.database.read(usage_of, job_owner(request), storage.plans)
    return json_answer(
        StorageUsage(bytes=found.bytes, files=found.files, quota_bytes=found.plan.quota_bytes, retention_days=found.plan.retention_days)
    )


@routes.post(
    "/files/upload-from-url",
    "Fetch a file by its address",
    body=FromUrl,
    headers=OWNER_HEADER,
    also=("/api/v1/upload-from-url", "/api/upload-from-url"),
    access=UPLOAD,
    answers={201: Answer("it is kept", FileInfo, headers={"Location": "where the file is"})},
)
async def from_url(request: web.Request) -> web.Response:
    """For permanent keeping of what is somewhere else only for a while. Addresses inside the operator's network are refused."""
    wanted, settings, storage = await read_model(request, FromUrl), request.app[SETTINGS], request.app[STORAGE].storage
    given = wanted.filename or checked_url(wanted.url).name or "file"
    intended = checked(Wanted(job_owner(request), given, wanted.purpose, wanted.subfolder))
    await storage.require_room(intended.owner, 1)
    scratch = storage.scratch()
    try:
        await fetch(
            wanted.url,
            into=scratch,
            max_bytes=settings.limits.upload_bytes,
            timeout_s=settings.storage.fetch_timeout_s,
            allow=settings.automation.private_hosts,
        )
        file = await take_over(storage, scratch, intended, settings.limits.image_pixels)
    finally:
        scratch.unlink(missing_ok=True)
    return json_answer(info(file), 201, {"Location": f"/api/v1/files/{file.id}"})


@routes.get(
    ONE, "A file", headers=OWNER_HEADER, also=(f"/api{ONE}",), answers={200: Answer("what it is, and a signed address", SignedFile)}
)
async def one_file(request: web.Request) -> web.Response:
    file = await _mine(request)
    links, now = request.app[STORAGE].links, now_ms()
    address = links.address(file.id, now)
    return json_answer(SignedFile(**info(file).model_dump(), signed_url=address, signed_until_ms=now + links.seconds * 1000))


@routes.delete(ONE, "Delete a file", headers=OWNER_HEADER, also=(f"/api{ONE}",), answers={200: Answer("it is deleted", FileDeleted)})
async def delete_file(request: web.Request) -> web.Response:
    """Bytes go when nobody has a file with them any more. What a job still needs is refused."""
    file = await request.app[STORAGE].storage.delete(request.match_info["file_id"], owner_filter(request))
    return json_answer(FileDeleted(id=file.id, deleted=True))


@routes.get(f"{ONE}/content", "The bytes of a file", query=ContentQuery, headers=OWNER_HEADER, access=OPEN, answers=CONTENT_ANSWERS)
async def content(request: web.Request) -> web.StreamResponse:
    """For the owner, or by a signed address for whoever has it. What a browser might run is only offered for saving."""
    query = read_query(request, ContentQuery)
    return await serve(request, await _shown(request, query, CONTENT), download=query.download)


@routes.get(
    f"{ONE}/thumbnail",
    "A small picture of a file",
    query=ThumbnailQuery,
    headers=OWNER_HEADER,
    access=OPEN,
    answers={200: Answer("WebP", content_type="image/webp"), 304: Answer("the caller has it already")},
)
async def thumbnail(request: web.Request) -> web.StreamResponse:
    """Made when it is first asked for, then kept."""
    query = read_query(request, ThumbnailQuery)
    path = await request.app[STORAGE].thumbnails.of(await _shown(request, query, THUMBNAIL), query.size)
    return web.FileResponse(
        path, headers={"Content-Type": "image/webp", "Content-Disposition": "inline", "Cache-Control": "private, max-age=604800, immutable"}
    )


async def _mine(request: web.Request) -> StoredFile:
    return await request.app[STORAGE].storage.find(request.match_info["file_id"], owner_filter(request))


async def _shown(request: web.Request, query: LinkQuery, kind: str) -> StoredFile:
    """The file, for its owner or by its signature. Raises FileMissing and LinkRefused."""
    room, file_id = request.app[STORAGE], request.match_info["file_id"]
    if query.signature is None:
        return await _mine(request)
    room.links.check(file_id, query.expires or 0, query.signature, now_ms(), kind)
    return await room.storage.find(file_id, None)
