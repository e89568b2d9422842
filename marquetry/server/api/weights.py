"""Models: which weight files there are."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from pydantic import BaseModel, Field

from marquetry.marketplace.search.query import Query
from marquetry.server import weights
from marquetry.server.api import PREFIXES
from marquetry.server.api.market_models import Item
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import read_query
from marquetry.server.http.errors import NotFound
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.keys import FOLDERS
from marquetry.server.published import views
from marquetry.server.published.search import SEARCH
from marquetry.server.published.work import look

routes = RouteTable("Models", PREFIXES)


class Model(BaseModel):
    kind: str
    name: str
    size_bytes: int
    modified_ms: int


class Models(BaseModel):
    models: list[Model]
    kinds: list[str] = Field(description="all kinds, also those of which there is no file")
    listings: list[Item] = Field(default=[], description="what the market offers of the type, where one is asked for")


class ModelsQuery(BaseModel):
    type: str = Field(default="", max_length=40, description="only this kind, as lora or loras; with what the market offers of it")
    tags: str = Field(default="", max_length=500, description="tags of listings with commas between, all of which are held")
    limit: int = Field(default=50, ge=1, le=100, description="how many listings")


WEIGHTS = ("lora", "checkpoint", "weights")
LISTED = {"lora": "loras", "checkpoint": "checkpoints"}


class ModelDetail(Model):
    metadata: dict[str, str] = Field(description="what the file says of itself")


@routes.get("/models", "Models", query=ModelsQuery, answers={200: Answer("models of all kinds, or of one", Models)})
async def models(request: web.Request) -> web.Response:
    query = read_query(request, ModelsQuery)
    folders = request.app[FOLDERS]
    kinds = weights.kinds(folders)
    folder = LISTED.get(query.type, query.type)

    def here() -> list[Model]:
        return [_model(kind, entry) for kind in kinds if folder in ("", kind) for entry in weights.entries(folders, kind)]

    answer = Models(models=[] if query.tags else await asyncio.to_thread(here), kinds=kinds)
    if query.type or query.tags:
        tags = [tag for tag in query.tags.split(",") if tag.strip()][:20]
        types = [listed for listed, name in LISTED.items() if name == folder] or ["weights"] if query.type else list(WEIGHTS)
        found = await look(request, request.app[SEARCH].find, Query(kinds=types, tags=tags, limit=query.limit))
        answer.listings = [Item(**item) for item in await look(request, views.items, found.ids)]
    return json_answer(answer)


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
