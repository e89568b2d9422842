"""Images: uploaded as pictures only, and seen by a signed address."""

from __future__ import annotations

from aiohttp import web
from pydantic import BaseModel, Field

from marquetry.server.api import PREFIXES
from marquetry.server.api.file_models import FileInfo, SignedFile, info
from marquetry.server.api.files import keep_upload
from marquetry.server.caller import OWNER_HEADER, owner_filter
from marquetry.server.http.access import Access
from marquetry.server.http.answer import json_answer
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.jobs.live import now_ms
from marquetry.server.storage.content_type import IMAGES
from marquetry.server.storage.errors import FileMissing
from marquetry.server.storage.file import FILE_ID
from marquetry.server.storage.links import THUMBNAIL
from marquetry.server.storage.room import STORAGE
from marquetry.server.storage.thumbnails import SIZES

routes = RouteTable("Files", (*PREFIXES, ""))
PURPOSES = ("image", "mask", "avatar")


class ImageForm(BaseModel):
    file: bytes = Field(description="the picture", json_schema_extra={"format": "binary"})
    purpose: str = Field(default="image", description=f"one of {', '.join(PURPOSES)}")
    subfolder: str = Field(default="", description="folder below input")


class SignedImage(SignedFile):
    """`thumbnails` are signed addresses by size."""

    thumbnails: dict[int, str]


@routes.post(
    "/images/upload",
    "Upload a picture",
    body=ImageForm,
    body_type="multipart/form-data",
    headers=OWNER_HEADER,
    access=Access(rate="upload"),
    answers={201: Answer("it is stored", FileInfo, headers={"Location": "where the file is"})},
)
async def upload(request: web.Request) -> web.Response:
    """As POST /api/v1/files, for pictures alone."""
    return await keep_upload(request, "image", PURPOSES)


@routes.get(
    f"/images/{{file_id:{FILE_ID}}}",
    "A picture",
    headers=OWNER_HEADER,
    answers={200: Answer("what it is, and signed addresses", SignedImage)},
)
async def image(request: web.Request) -> web.Response:
    """The addresses work for whoever has them, for a while."""
    room, now = request.app[STORAGE], now_ms()
    file = await room.storage.find(request.match_info["file_id"], owner_filter(request))
    if file.media_type not in IMAGES:
        raise FileMissing(f"'{file.filename}' is no picture; see GET /api/v1/files/{file.id}", file_id=file.id)
    small = {size: room.links.address(file.id, now, THUMBNAIL, size=str(size)) for size in SIZES}
    signed = room.links.address(file.id, now)
    return json_answer(
        SignedImage(**info(file).model_dump(), signed_url=signed, signed_until_ms=now + room.links.seconds * 1000, thumbnails=small)
    )
