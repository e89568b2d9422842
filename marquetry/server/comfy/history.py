"""The history: finished jobs with their outputs and messages, oldest first."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from pydantic import BaseModel, Field

from marquetry.server.caller import owner_filter
from marquetry.server.comfy import PREFIXES
from marquetry.server.comfy.entries import history_entry
from marquetry.server.http.answer import empty, json_answer
from marquetry.server.http.body import read_model, read_query
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.keys import JOBS

routes = RouteTable("ComfyUI: queue", PREFIXES)


class HistoryQuery(BaseModel):
    max_items: int | None = Field(default=None, ge=0, le=1_000_000, description="how many; the newest, unless offset is given")
    offset: int | None = Field(default=None, ge=-1, le=1_000_000_000, description="how many of the oldest to leave out")


class HistoryChange(BaseModel):
    clear: bool = Field(default=False, description="forget everything")
    delete: list[str] = Field(default=[], max_length=100_000, description="forget these")


@routes.get("/history", "Finished jobs", query=HistoryQuery, answers={200: Answer("entries by prompt id", dict[str, Any])})
async def history(request: web.Request) -> web.Response:
    query = read_query(request, HistoryQuery)
    offset = query.offset if query.offset is not None and query.offset >= 0 else None
    found = await request.app[JOBS].history(max_items=query.max_items, offset=offset, owner=owner_filter(request))
    return json_answer({job.id: history_entry(job) for job in found})


@routes.get("/history/{prompt_id}", "A finished job", answers={200: Answer("its entry by its id, or {}", dict[str, Any])})
async def one_history(request: web.Request) -> web.Response:
    job = await request.app[JOBS].find(request.match_info["prompt_id"], owner=owner_filter(request))
    ended = job is not None and job.state.is_final and job.started_ms is not None
    return json_answer({job.id: history_entry(job)} if job is not None and ended else {})


@routes.post("/history", "Forget finished jobs", body=HistoryChange, answers={200: Answer("done")})
async def change_history(request: web.Request) -> web.Response:
    change = await read_model(request, HistoryChange)
    jobs, owner = request.app[JOBS], owner_filter(request)
    if change.clear:
        await jobs.clear_history(owner=owner)
    if change.delete:
        await jobs.delete(change.delete, owner=owner)
    return empty()
