"""Models: which weight files there are."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from pydantic import BaseModel, Field

from marquetry.server import weights
from marquetry.server.api import PREFIXES
from marquetry.server.http.answer import json_answer
from marquetry.server.http.errors import NotFound
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.keys import FOLDERS

routes = RouteTable("Models", PREFIXES)


class Model(BaseModel):
    kind: str
    name: str
    size_bytes: int
    modified_ms: int


class Models(BaseModel):
    models: list[Model]
    kinds: list[str] = Field(description="all kinds, also those of which there is no file")


class ModelDetail(Model):
    metadata: dict[str, str] = Field(description="what the file says of itself")


@routes.get("/models", "Models", answers={200: Answer("models of all kinds", Models)})
async def models(request: web.Request) -> web.Response:
    folders = request.app[FOLDERS]
    kinds = weights.kinds(folders)

    def listed() -> list[Model]:
        return [_model(kind, entry) for kind in kinds for entry in weights.entries(folders, kind)]

    return json_answer(Models(models=await asyncio.to_thread(listed), kinds=kinds))


@routes.get("/models/{kind}", "Models of a kind", answers={200: Answer("models", Models)})
async def models_of_kind(request: web.Request) -> web.Response:
    kind = request.match_info["kind"]
    entries = await asyncio.to_thread(weights.entries, request.app[FOLDERS], kind)
    return json_answer(Models(models=[_model(kind, entry) for entry in entries], kinds=[kind]))


@routes.get("/models/{kind}/{name:.+}", "A model", answers={200: Answer("the model and what it says of itself", ModelDetail)})
async def one_model(request: web.Request) -> web.Response:
    kind, name, folders = request.match_info["kind"], request.match_info["name"], request.app[FOLDERS]

    def described() -> ModelDetail:
        for entry in weights.entries(folders, kind):
            if entry["name"] == name:
                try:
                    said = weights.metadata(folders, kind, name)
                except NotFound:
                    said = {}
                return ModelDetail(**_model(kind, entry).model_dump(), metadata=said)
        raise NotFound(f"there is no file '{name[:200]}' among the {kind}")

    return json_answer(await asyncio.to_thread(described))


def _model(kind: str, entry: dict[str, Any]) -> Model:
    return Model(kind=kind, name=entry["name"], size_bytes=entry["size"], modified_ms=int(entry["modified"] * 1000))
