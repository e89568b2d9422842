"""Running a published graph by its name, as a function over HTTP."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from marquetry.marketplace.listings.errors import ListingMissing
from marquetry.server.api import PREFIXES
from marquetry.server.api.jobs import HEADERS_OF_SUBMIT, RUN, SUBMITTED, take
from marquetry.server.api.models import Submit
from marquetry.server.caller import job_owner, owner_of
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import read_model
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.published.calling import graph_for, named
from marquetry.server.published.catalogue import CATALOGUE

routes = RouteTable("Market", PREFIXES)


class RunBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    inputs: dict[str, Any] = Field(default={}, max_length=64, description="values by the names of the published graph's inputs")
    client_id: str = Field(default="", max_length=128, description="whose WebSocket hears of it")
    priority: int = Field(default=0, ge=-100, le=100)


@routes.get(
    "/run/{creator}/{slug}", "Inputs and outputs of a published graph", answers={200: Answer("as object_info has them", dict[str, Any])}
)
async def interface_of(request: web.Request) -> web.Response:
    """`slug` may end with `@version`; without, it is the newest."""
    return json_answer((await _interface(request))[1])


@routes.post("/run/{creator}/{slug}", "Run a published graph", body=RunBody, headers=HEADERS_OF_SUBMIT, answers=SUBMITTED, access=RUN)
async def run(request: web.Request) -> web.Response:
    """Pictures are given as names of uploaded files. What it gives is among the results of the job, by the names of its outputs."""
    body = await read_model(request, RunBody)
    type_id, interface = await _interface(request)
    graph = graph_for(type_id, interface, body.inputs)
    return await take(request, Submit(graph=graph, client_id=body.client_id, priority=body.priority))


async def _interface(request: web.Request) -> tuple[str, dict[str, Any]]:
    type_id = named(request.match_info["creator"], request.match_info["slug"])
    found = await request.app[CATALOGUE].interface(type_id, job_owner(request) or owner_of(request))
    if found is None:
        raise ListingMissing(f"there is no published graph '{type_id[:200]}', or it is not yours to use")
    return type_id, dict(found)
