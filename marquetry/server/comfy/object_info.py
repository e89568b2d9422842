"""GET /object_info: every node type with its inputs, choices and outputs."""

from __future__ import annotations

from typing import Any

from aiohttp import hdrs, web
from aiohttp.helpers import ETag

from marquetry.server.caller import files_owner, owner_of
from marquetry.server.comfy import PREFIXES
from marquetry.server.http.answer import encode
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.object_info import Description
from marquetry.server.published.catalogue import CATALOGUE

routes = RouteTable("ComfyUI: nodes", PREFIXES)


@routes.get(
    "/object_info",
    "All node types",
    answers={200: Answer("description by class", dict[str, dict[str, Any]]), 304: Answer("the caller has it already")},
)
async def object_info(request: web.Request) -> web.Response:
    """Answers If-None-Match, so that an editor that asks again gets it only when something changed."""
    return described(request, await request.app[CATALOGUE].seen_by(files_owner(request), owner_of(request)))


@routes.get("/object_info/{node_class}", "One node type", answers={200: Answer("its description, or {}", dict[str, dict[str, Any]])})
async def one_object_info(request: web.Request) -> web.Response:
    name = request.match_info["node_class"]
    entry = await request.app[CATALOGUE].entry(name, files_owner(request))
    text = b"{}" if entry is None else b"{" + encode(name) + b":" + entry + b"}"
    return web.Response(body=text, content_type="application/json")


def described(request: web.Request, description: Description) -> web.Response:
    """The whole description, compressed for who takes that; 304 for who has it."""
    headers = {"Cache-Control": "private, no-cache", hdrs.VARY: "Accept-Encoding"}
    if any(known.value in (description.tag, "*") for known in request.if_none_match or ()):
        answer = web.Response(status=304, headers=headers)
    elif "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "").lower():
        answer = web.Response(
            body=description.compressed, content_type="application/json", headers={**headers, hdrs.CONTENT_ENCODING: "gzip"}
        )
    else:
        answer = web.Response(body=description.text, content_type="application/json", headers=headers)
    answer.etag = ETag(description.tag)
    return answer
