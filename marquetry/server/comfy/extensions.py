"""What packs bring for the editor: scripts, examples, translations; and a page of help for each node."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from aiohttp import web

from marquetry.server.comfy import PREFIXES
from marquetry.server.http.answer import json_answer
from marquetry.server.http.errors import NotFound
from marquetry.server.http.files import file_answer, media_type
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.keys import OBJECT_INFO, PACK_FILES

routes = RouteTable("ComfyUI: extensions", PREFIXES)
static = RouteTable("ComfyUI: extensions")


@routes.get("/extensions", "Scripts that the editor loads", answers={200: Answer("addresses", list[str])})
async def extensions(request: web.Request) -> web.Response:
    await request.app[OBJECT_INFO].current()  # which tells what packs there are
    return json_answer(await asyncio.to_thread(request.app[PACK_FILES].scripts))


@routes.get("/workflow_templates", "Example graphs", answers={200: Answer("names by pack", dict[str, list[str]])})
async def templates(request: web.Request) -> web.Response:
    return json_answer(await asyncio.to_thread(request.app[PACK_FILES].templates))


@routes.get(
    "/workflow_templates/{pack}/{name:.+}", "An example graph or its picture", answers={200: Answer("the file", content_type="*/*")}
)
async def template(request: web.Request) -> web.StreamResponse:
    match = request.match_info
    return file_answer(await asyncio.to_thread(request.app[PACK_FILES].template, match["pack"], match["name"]))


@routes.get("/i18n", "Translations that packs bring", answers={200: Answer("texts by language", dict[str, Any])})
async def translations(request: web.Request) -> web.Response:
    return json_answer(await asyncio.to_thread(request.app[PACK_FILES].translations))


@routes.get("/global_subgraphs", "Subgraphs that ship with the server", answers={200: Answer("subgraphs by id", dict[str, Any])})
async def global_subgraphs(request: web.Request) -> web.Response:
    return json_answer({})


@routes.get("/node_replacements", "Nodes that stand in for missing ones", answers={200: Answer("replacements by class", dict[str, Any])})
async def node_replacements(request: web.Request) -> web.Response:
    return json_answer({})


@static.get("/extensions/{pack}/{name:.+}", "A file of a pack's scripts", answers={200: Answer("the file", content_type="*/*")})
async def script(request: web.Request) -> web.StreamResponse:
    match = request.match_info
    path = await asyncio.to_thread(request.app[PACK_FILES].script, match["pack"], match["name"])
    return file_answer(path, kind=media_type(path.name), cache="no-cache")


@static.get("/docs/{node_class}/{locale}.md", "Help for a node", answers={200: Answer("the page", content_type="text/markdown")})
async def help_page(request: web.Request) -> web.Response:
    entry = (await request.app[OBJECT_INFO].current()).entries.get(request.match_info["node_class"])
    if entry is None:
        raise NotFound("there is no such node")
    return web.Response(text=_help(orjson.loads(entry)), content_type="text/markdown")


def _help(described: dict[str, Any]) -> str:
    lines = [f"# {described['display_name']}", "", described["description"] or "", ""]
    inputs = {**described["input"].get("required", {}), **described["input"].get("optional", {})}
    if inputs:
        lines += ["## Inputs", "", *(f"- **{name}** ({_word(kind)}) {_tip(rest)}".rstrip() for name, (kind, *rest) in inputs.items()), ""]
    if described["output"]:
        outputs = zip(described["output_name"], described["output"], strict=False)
        lines += ["## Outputs", "", *(f"- **{name}** ({_word(kind)})" for name, kind in outputs)]
    return "\n".join(lines) + "\n"


def _tip(rest: list[Any]) -> str:
    return str(rest[0].get("tooltip", "")) if rest and isinstance(rest[0], dict) else ""


def _word(kind: Any) -> str:
    return kind if isinstance(kind, str) else "choice"
