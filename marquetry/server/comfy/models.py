"""Models: kinds, files, metadata, preview pictures, embeddings."""

from __future__ import annotations

import asyncio
import os

from aiohttp import web
from pydantic import BaseModel, Field

from marquetry.engine.errors import ModelFormatError
from marquetry.server import weights
from marquetry.server.comfy import PREFIXES
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import read_query
from marquetry.server.http.errors import NotFound
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.keys import FOLDERS

routes = RouteTable("ComfyUI: models", PREFIXES)


class ModelKind(BaseModel):
    name: str
    folders: list[str]


class ModelFile(BaseModel):
    name: str
    pathIndex: int = Field(description="number of the folder")
    modified: float = Field(description="seconds since 1970")
    created: float
    size: int = Field(description="bytes")


class MetadataQuery(BaseModel):
    filename: str


@routes.get("/models", "Kinds of models", answers={200: Answer("names of the kinds", list[str])})
async def model_kinds(request: web.Request) -> web.Response:
    return json_answer(weights.kinds(request.app[FOLDERS]))


@routes.get("/models/{folder}", "Files of a kind", answers={200: Answer("names of the files", list[str])})
async def model_files(request: web.Request) -> web.Response:
    return json_answer(await asyncio.to_thread(weights.names, request.app[FOLDERS], request.match_info["folder"]))


@routes.get("/experiment/models", "Kinds of models and their folders", answers={200: Answer("kinds", list[ModelKind])})
async def model_folders(request: web.Request) -> web.Response:
    folders = request.app[FOLDERS]
    return json_answer([{"name": kind, "folders": [str(path) for path in folders.model_folders(kind)]} for kind in weights.kinds(folders)])


@routes.get("/experiment/models/{folder}", "Files of a kind with size and time", answers={200: Answer("files", list[ModelFile])})
async def model_entries(request: web.Request) -> web.Response:
    return json_answer(await asyncio.to_thread(weights.entries, request.app[FOLDERS], request.match_info["folder"]))


@routes.get(
    "/experiment/models/preview/{folder}/{path_index}/{filename:.+}",
    "Picture of a model",
    answers={200: Answer("the picture", content_type="image/webp")},
)
async def model_preview(request: web.Request) -> web.Response:
    """The picture that stands beside the file or inside its metadata."""
    match = request.match_info
    if not match["path_index"].isdecimal() or len(match["path_index"]) > 6:
        raise NotFound("the number of the folder is not a number")
    picture = await asyncio.to_thread(weights.preview, request.app[FOLDERS], match["folder"], int(match["path_index"]), match["filename"])
    return web.Response(body=picture, content_type="image/webp", headers={"Cache-Control": "private, max-age=86400"})


@routes.get(
    "/view_metadata/{folder}",
    "What a safetensors file says of itself",
    query=MetadataQuery,
    answers={200: Answer("its metadata", dict[str, str])},
)
async def view_metadata(request: web.Request) -> web.Response:
    query = read_query(request, MetadataQuery)
    try:
        return json_answer(await asyncio.to_thread(weights.metadata, request.app[FOLDERS], request.match_info["folder"], query.filename))
    except ModelFormatError as error:
        raise NotFound(error.message) from error


@routes.get("/embeddings", "Names of embeddings", answers={200: Answer("names without suffix", list[str])})
async def embeddings(request: web.Request) -> web.Response:
    names = await asyncio.to_thread(weights.names, request.app[FOLDERS], "embeddings")
    return json_answer([os.path.splitext(name)[0] for name in names])
