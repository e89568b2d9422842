"""POST /prompt: a graph to run. GET /prompt: how many jobs there are."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web
from pydantic import BaseModel, Field

from marquetry.engine.errors import GraphError
from marquetry.marketplace.errors import MarketError
from marquetry.server.caller import OWNER_HEADER, caller_of, files_owner, job_owner
from marquetry.server.comfy import PREFIXES
from marquetry.server.comfy.entries import SECRETS
from marquetry.server.comfy.problems import PromptRefused, invalid, node_errors, refused
from marquetry.server.http.access import Access
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import parse_json, read_bytes
from marquetry.server.http.errors import InvalidJson, TooLarge, status_of
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.jobs.errors import DuplicateJob, JobsError, WorkerUnavailable
from marquetry.server.jobs.job import Submission
from marquetry.server.keys import CHECK, JOBS

routes = RouteTable("ComfyUI: prompt", PREFIXES)
SOUND_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


class PromptBody(BaseModel):
    prompt: dict[str, Any] = Field(description="nodes by id: class_type and inputs")
    client_id: str | None = Field(default=None, description="whose WebSocket hears of it; nobody's when left out")
    prompt_id: str | None = Field(default=None, description="id for it; one is made when left out")
    number: float | None = Field(default=None, description="place in the queue; lower runs first")
    front: bool | None = Field(default=None, description="before the others")
    extra_data: dict[str, Any] | None = Field(default=None, description="extra_pnginfo in it is written into saved pictures")
    partial_execution_targets: list[str] | None = Field(default=None, description="ids of the only output nodes to make")


class PromptTaken(BaseModel):
    prompt_id: str
    number: float
    node_errors: dict[str, Any] = Field(description="outputs that can't be made, where others can")


class QueueRemaining(BaseModel):
    queue_remaining: int


class PromptInfo(BaseModel):
    exec_info: QueueRemaining


@routes.get("/prompt", "How many jobs wait or run", answers={200: Answer("the number", PromptInfo)})
async def prompt_info(request: web.Request) -> web.Response:
    return json_answer({"exec_info": {"queue_remaining": request.app[JOBS].remaining()}})


@routes.post(
    "/prompt",
    "Run a graph",
    access=Access(rate="run"),
    headers=OWNER_HEADER,
    body=PromptBody,
    answers={200: Answer("it is in the queue", PromptTaken), 400: Answer("it can't be run, and why", PromptRefused)},
)
async def submit_prompt(request: web.Request) -> web.Response:
    """Every error of the graph is told at once. Outputs that can be made are made, also when others can't."""
    try:
        body = parse_json(await read_bytes(request))
    except InvalidJson as error:
        return refused("invalid_json", error.message)
    except TooLarge as error:
        return refused("too_large", error.message, status=413)
    fault = _fault(body)
    if fault is not None:
        return fault
    jobs, graph_json = request.app[JOBS], body["prompt"]
    owner = job_owner(request)
    try:
        checked = await request.app[CHECK].check(graph_json, body.get("partial_execution_targets"), files_owner(request))
    except WorkerUnavailable as error:
        return refused(error.code, error.message, status=status_of(error))
    except GraphError as error:
        node_id = error.details.get("node_id")
        details = "" if node_id is None else f"Node ID '#{node_id}'"
        return refused("invalid_prompt", error.message, details=details, extra=error.details)
    if not checked.outputs:
        return invalid(checked.problems, checked.dependent_outputs, graph_json)
    extra = {name: value for name, value in (body.get("extra_data") or {}).items() if name not in SECRETS}
    try:
        job = await jobs.submit(
            Submission(
                graph=checked.graph,
                graph_json=checked.json,
                outputs=checked.outputs,
                owner=owner,
                client_id=body.get("client_id") or extra.pop("client_id", None) or "",
                extra=extra,
                number=body.get("number"),
                front=bool(body.get("front")),
                job_id=body.get("prompt_id"),
                key_id=caller_of(request).key_id,
            )
        )
    except DuplicateJob as error:
        return refused("duplicate_prompt_id", error.message)
    except (JobsError, MarketError) as error:
        return refused(error.code, error.message, extra=error.details, status=status_of(error))
    errors = node_errors(checked.problems, checked.dependent_outputs, graph_json) if checked.problems else {}
    return json_answer({"prompt_id": job.id, "number": job.number, "node_errors": errors})


def _fault(body: Any) -> web.Response | None:
    """What is wrong with the request around the graph."""
    if not isinstance(body, dict):
        return refused("invalid_request", "the body must be a JSON object with the graph in 'prompt'")
    if not isinstance(body.get("prompt"), dict):
        return refused("no_prompt", "No prompt provided", details="'prompt' must be an object of nodes by id")
    number = body.get("number")
    if number is not None and type(number) not in (int, float):
        return refused("invalid_number", "'number' must be a number", details=repr(number)[:100])
    prompt_id = body.get("prompt_id")
    if prompt_id is not None and not (isinstance(prompt_id, str) and SOUND_ID.fullmatch(prompt_id)):
        return refused("invalid_prompt_id", "'prompt_id' must have 1 to 128 letters, digits and . _ : -")
    client_id = body.get("client_id")
    if client_id is not None and not (isinstance(client_id, str) and len(client_id) <= 128):
        return refused("invalid_client_id", "'client_id' must be a string of at most 128 characters")
    if body.get("extra_data") is not None and not isinstance(body["extra_data"], dict):
        return refused("invalid_extra_data", "'extra_data' must be an object")
    targets = body.get("partial_execution_targets")
    if targets is not None and not (isinstance(targets, list) and all(isinstance(target, str) for target in targets)):
        return refused("invalid_targets", "'partial_execution_targets' must be a list of node ids")
    return None
