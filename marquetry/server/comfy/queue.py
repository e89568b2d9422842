"""The queue: what waits and what runs, taking jobs out of it, interrupting, freeing memory."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from pydantic import BaseModel, Field

from marquetry.server.caller import owner_filter
from marquetry.server.comfy import PREFIXES
from marquetry.server.comfy.entries import item
from marquetry.server.http.access import Access
from marquetry.server.http.answer import empty, json_answer
from marquetry.server.http.body import read_model
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.keys import JOBS

routes = RouteTable("ComfyUI: queue", PREFIXES)


class QueueBody(BaseModel):
    queue_running: list[Any] = Field(description="items: number, prompt_id, prompt, extra_data, outputs to make")
    queue_pending: list[Any]


class QueueChange(BaseModel):
    clear: bool = Field(default=False, description="take out everything that waits")
    delete: list[str] = Field(default=[], max_length=100_000, description="take out these")


class Interrupt(BaseModel):
    prompt_id: str | None = Field(default=None, description="only this one; whatever runs when left out")


class Free(BaseModel):
    unload_models: bool = False
    free_memory: bool = False


@routes.get("/queue", "What waits and what runs", answers={200: Answer("the queue", QueueBody)})
async def queue(request: web.Request) -> web.Response:
    running, pending = await request.app[JOBS].queue(owner=owner_filter(request))
    return json_answer({"queue_running": [item(job) for job in running], "queue_pending": [item(job) for job in pending]})


@routes.post("/queue", "Take jobs out of the queue", body=QueueChange, answers={200: Answer("done")})
async def change_queue(request: web.Request) -> web.Response:
    """Jobs that run already go on; POST /interrupt stops them."""
    change = await read_model(request, QueueChange)
    jobs, owner = request.app[JOBS], owner_filter(request)
    if change.clear:
        await jobs.clear_pending(owner=owner)
    elif change.delete:
        await jobs.clear_pending(owner=owner, ids=change.delete)
    return empty()


@routes.post("/interrupt", "Stop what runs", body=Interrupt, body_required=False, answers={200: Answer("done")})
async def interrupt(request: web.Request) -> web.Response:
    wanted = await read_model(request, Interrupt, empty={})
    await request.app[JOBS].interrupt(owner=owner_filter(request), job_id=wanted.prompt_id)
    return empty()


@routes.post(
    "/free",
    "Free memory",
    access=Access(permission="server.manage"),
    body=Free,
    body_required=False,
    answers={200: Answer("done, or soon")},
)
async def free(request: web.Request) -> web.Response:
    """Models that a job uses stay until it is done."""
    wanted = await read_model(request, Free, empty={})
    await request.app[JOBS].free(unload_models=wanted.unload_models, free_memory=wanted.free_memory)
    return empty()
