"""Node types, as our own routes show them: the description that object_info gives, one by one or as a list that can be searched."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel, Field

from marquetry.server.api import PREFIXES
from marquetry.server.caller import files_owner
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import read_query
from marquetry.server.http.errors import NotFound
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.keys import OBJECT_INFO

routes = RouteTable("Nodes", PREFIXES)


class NodesQuery(BaseModel):
    q: str = Field(default="", max_length=200, description="words that must stand in id, title, category or description")
    category: str = Field(default="", max_length=200, description="only this category and those below it")


class NodeSummary(BaseModel):
    id: str
    title: str
    category: str
    description: str
    inputs: list[str]
    outputs: list[str]
    output_node: bool


class Nodes(BaseModel):
    nodes: list[NodeSummary]
    total: int


@routes.get("/nodes", "Node types", query=NodesQuery, answers={200: Answer("node types by category and title", Nodes)})
async def list_nodes(request: web.Request) -> web.Response:
    query = read_query(request, NodesQuery)
    words = query.q.lower().split()
    found: list[NodeSummary] = []
    for text in (await request.app[OBJECT_INFO].seen_by(files_owner(request))).entries.values():
        described: dict[str, Any] = orjson.loads(text)
        node = NodeSummary(
            id=described["name"],
            title=described["display_name"] or described["name"],
            category=described["category"],
            description=described["description"],
            inputs=[name for section in ("required", "optional") for name in described["input"].get(section, {})],
            outputs=[str(name) for name in described["output_name"]],
            output_node=described["output_node"],
        )
        searched = f"{node.id} {node.title} {node.category} {node.description}".lower()
        below = not query.category or f"{node.category}/".startswith(f"{query.category.strip('/')}/")
        if below and all(word in searched for word in words):
            found.append(node)
    found.sort(key=lambda node: (node.category, node.title))
    return json_answer(Nodes(nodes=found, total=len(found)))


@routes.get("/nodes/{node_id}", "A node type", answers={200: Answer("its description, as object_info has it", dict[str, Any])})
async def one_node(request: web.Request) -> web.Response:
    name = request.match_info["node_id"]
    entry = (await request.app[OBJECT_INFO].seen_by(files_owner(request))).entries.get(name)
    if entry is None:
        raise NotFound(f"no node type '{name[:100]}' is installed")
    return web.Response(body=entry, content_type="application/json")
