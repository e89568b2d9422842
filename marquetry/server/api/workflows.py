"""Workflows: graphs that a person keeps with the server, by name, and running one. The editor keeps its graphs at the same place."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from marquetry.engine.editor import to_api
from marquetry.server.api import PREFIXES
from marquetry.server.api.jobs import HEADERS_OF_SUBMIT, RUN, SUBMITTED, take
from marquetry.server.api.models import Submit
from marquetry.server.automation.inputs import with_inputs
from marquetry.server.caller import OWNER_HEADER, folders_of_caller, owner_of
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import read_model
from marquetry.server.http.errors import NotFound, RequestError
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.keys import CHECK, FOLDERS, PEOPLE
from marquetry.server.userdata import UserData

routes = RouteTable("Workflows", PREFIXES)
NAME = r"^[A-Za-z0-9_][A-Za-z0-9_ .\-]{0,99}$"
FOLDER = "workflows"
MAX_LISTED = 1000
Graph = dict[str, Any]


class NewWorkflow(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=NAME)
    graph: Graph = Field(min_length=1, description="nodes by id, as ComfyUI's API format has them, or a workflow as its editor saves it")
    overwrite: bool = Field(default=False, description="replace the one of that name")


class WorkflowFacts(BaseModel):
    """A kept graph. `id` is its name; `ships`: it is one of those that come with the server."""

    id: str
    title: str
    ships: bool = False
    modified_ms: int | None = None


class Workflow(WorkflowFacts):
    graph: Graph


class Workflows(BaseModel):
    workflows: list[WorkflowFacts]


class Execute(BaseModel):
    """Either a graph, or a kept one by its id; `inputs` are those that differ."""

    model_config = ConfigDict(extra="forbid")

    graph: Graph | None = None
    workflow_id: str | None = Field(default=None, max_length=100)
    inputs: dict[str, Any] = Field(default={}, max_length=1000, description="by the graph's names for them, or by node.input as in 2.text")
    client_id: str = Field(default="", max_length=128, description="whose WebSocket hears of it")
    priority: int = Field(default=0, ge=-100, le=100)


@routes.post("/workflow/create", "Keep a graph", body=NewWorkflow, headers=OWNER_HEADER,
             answers={201: Answer("it is kept", WorkflowFacts), 409: Answer("the name is taken")})  # fmt: skip
async def create(request: web.Request) -> web.Response:
    """It need not run yet: POST /api/v1/validate says what is wrong with a graph."""
    body, files = await read_model(request, NewWorkflow), _files(request)
    data = orjson.dumps(body.graph)
    await asyncio.to_thread(files.write, _place(body.name), data, overwrite=body.overwrite)
    return json_answer(WorkflowFacts(id=body.name, title=body.name), 201)


@routes.get("/workflow/list", "Kept graphs", headers=OWNER_HEADER, answers={200: Answer("the caller's, then those that ship", Workflows)})
async def list_all(request: web.Request) -> web.Response:
    return json_answer(Workflows(workflows=await asyncio.to_thread(_listed, _files(request))))


@routes.get("/workflow/{workflow_id}", "A kept graph", headers=OWNER_HEADER, answers={200: Answer("with its nodes", Workflow)})
async def one(request: web.Request) -> web.Response:
    id, files = request.match_info["workflow_id"], _files(request)
    own = await asyncio.to_thread(_own, files, id)
    if own is not None:
        return json_answer(Workflow(id=id, title=id, graph=own))
    from marquetry.graphs.library import find_graph, load_graph

    shipped = find_graph(id)
    return json_answer(Workflow(id=id, title=shipped.title, ships=True, graph=load_graph(id)))


@routes.post("/workflow/execute", "Run a graph, or a kept one", body=Execute, headers=HEADERS_OF_SUBMIT, answers=SUBMITTED, access=RUN)
async def execute(request: web.Request) -> web.Response:
    body = await read_model(request, Execute)
    graph = await wanted_graph(request, body.graph, body.workflow_id, body.inputs)
    return await take(request, Submit(graph=graph, client_id=body.client_id, priority=body.priority))


async def wanted_graph(request: web.Request, graph: Graph | None, name: str | None, inputs: dict[str, Any]) -> Graph:
    """The graph that a request asks for, in API format, with its inputs. Raises RequestError, NotFound, GraphNotFound, WrongInputs."""
    if (graph is None) == (name is None):
        raise RequestError("either a graph, or the name of a kept one must say what to run")
    if name is None:
        return with_inputs(await _as_api(request, graph or {}), inputs)
    own = await asyncio.to_thread(_own, _files(request), name)
    if own is not None:
        return with_inputs(await _as_api(request, own), inputs)
    return await asyncio.to_thread(shipped_graph, request, name, inputs)


def shipped_graph(request: web.Request, name: str, values: dict[str, Any]) -> Graph:
    """A graph that ships, with values for the inputs that its manifest names, or for any input as node.input."""
    from marquetry.graphs.library import find_graph, load_graph, place_samples

    named = find_graph(name).inputs
    graph = load_graph(name, **{key: value for key, value in values.items() if key in named})
    place_samples(name, folders_of_caller(request))
    return with_inputs(graph, {key: value for key, value in values.items() if key not in named})


async def _as_api(request: web.Request, graph: Graph) -> Graph:
    if not isinstance(graph.get("nodes"), list):
        return graph
    checking = request.app[CHECK]
    found = await asyncio.to_thread(to_api, graph, checking.registry, checking.folders, max_nodes=checking.limits.nodes)
    return found.graph


def _files(request: web.Request) -> UserData:
    return UserData(request.app[PEOPLE].home(owner_of(request)), request.app[FOLDERS])


def _place(name: str) -> str:
    return f"{FOLDER}/{name}.json"


def _own(files: UserData, name: str) -> Graph | None:
    """A person's graph; None where they have none of that name."""
    if "\0" in name or len(name) > 100:
        raise NotFound("there is no such workflow")
    path = files.path(_place(name))
    if not path.is_file():
        return None
    try:
        graph = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise RequestError(f"the file of the workflow '{name}' is no JSON") from error
    if not isinstance(graph, dict):
        raise RequestError(f"the file of the workflow '{name}' holds no graph")
    return graph


def _listed(files: UserData) -> list[WorkflowFacts]:
    from marquetry.graphs.library import list_graphs

    found = []
    if (files.home / FOLDER).is_dir():
        for path in files.files(FOLDER, recurse=False)[:MAX_LISTED]:
            if path.suffix == ".json":
                found.append(WorkflowFacts(id=path.stem, title=path.stem, modified_ms=path.stat().st_mtime_ns // 1_000_000))
    return found + [WorkflowFacts(id=graph.name, title=graph.title, ships=True) for graph in list_graphs()]
