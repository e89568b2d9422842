"""POST /upload/image and /upload/mask."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from aiohttp import web
from pydantic import BaseModel, Field

from marquetry.server.caller import folders_of_caller
from marquetry.server.comfy import PREFIXES
from marquetry.server.comfy.view import locate
from marquetry.server.http.access import Access
from marquetry.server.http.answer import json_answer
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.keys import SETTINGS
from marquetry.server.pictures import masked
from marquetry.server.stored_files import count_in, require_room
from marquetry.server.uploads import Upload, original_reference, receive, store

routes = RouteTable("ComfyUI: files", PREFIXES, access=Access(rate="upload"))


class UploadForm(BaseModel):
    image: bytes = Field(description="the file", json_schema_extra={"format": "binary"})
    type: str = Field(default="input", description="input, temp or output")
    subfolder: str = Field(default="", description="folder below it")
    overwrite: str = Field(default="false", description="true or 1: replace a file of that name")


class MaskForm(UploadForm):
    original_ref: str = Field(description='the picture that the mask belongs to, as JSON: {"filename", "subfolder", "type"}')


class Uploaded(BaseModel):
    name: str = Field(description="the name under which it stands, which may have got a number")
    subfolder: str
    type: str


@routes.post(
    "/upload/image", "Upload a file", body=UploadForm, body_type="multipart/form-data", answers={200: Answer("where it stands", Uploaded)}
)
async def upload_image(request: web.Request) -> web.Response:
    """Pictures are known by their content and lose their EXIF; the same bytes under the same name are kept once."""
    upload = await receive(request, request.app[SETTINGS].limits.upload_bytes)
    return await _kept(request, upload)


@routes.post(
    "/upload/mask",
    "Upload a mask for a picture",
    body=MaskForm,
    body_type="multipart/form-data",
    answers={200: Answer("where it stands", Uploaded)},
)
async def upload_mask(request: web.Request) -> web.Response:
    """The result has the colours and graphs of the original and the transparency of what is uploaded."""
    upload = await receive(request, request.app[SETTINGS].limits.upload_bytes)
    reference = original_reference(upload.fields)
    folders = folders_of_caller(request)
    original = await asyncio.to_thread(
        locate, folders, reference["filename"], reference.get("type", "output"), reference.get("subfolder", "")
    )
    picture = await asyncio.to_thread(masked, original, upload.data)
    name = upload.name if upload.name.lower().endswith(".png") else f"{upload.name}.png"
    return await _kept(request, replace(upload, name=name, data=picture))


async def _kept(request: web.Request, upload: Upload) -> web.Response:
    await require_room(request, len(upload.data))
    place = await asyncio.to_thread(store, upload, folders_of_caller(request), request.app[SETTINGS].limits.image_pixels)
    await count_in(request, place)
    return json_answer(place)
