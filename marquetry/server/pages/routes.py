"""Routes of the pages, and of the OpenAPI document that the reference is drawn from."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from aiohttp import hdrs, web
from aiohttp.helpers import ETag

from marquetry.server.http.access import PUBLIC
from marquetry.server.http.errors import NotFound
from marquetry.server.http.files import media_type
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.keys import OPENAPI

routes = RouteTable("Pages", access=PUBLIC)
STATIC = Path(__file__).parent / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@routes.get("/", "The page that makes a picture", answers={200: Answer("the page", content_type="text/html")})
async def index(request: web.Request) -> web.Response:
    return page(request, "index.html")


@routes.get("/api/docs", "The API reference", answers={200: Answer("the page", content_type="text/html")})
async def reference(request: web.Request) -> web.Response:
    return page(request, "reference.html")


@routes.get("/pages/{name}", "Styles and scripts of the pages", answers={200: Answer("the file", content_type="*/*")})
async def static(request: web.Request) -> web.Response:
    return page(request, request.match_info["name"])


@routes.get("/favicon.ico", "The icon", answers={200: Answer("the icon", content_type="image/svg+xml")})
async def icon(request: web.Request) -> web.Response:
    return page(request, "icon.svg")


@routes.get(
    "/api/openapi.json", "This document", answers={200: Answer("OpenAPI 3.1", dict[str, Any]), 304: Answer("the caller has it already")}
)
async def openapi(request: web.Request) -> web.Response:
    return _tagged(request, request.app[OPENAPI].text, "application/json")


def page(request: web.Request, name: str) -> web.Response:
    """A file of the pages. Raises NotFound."""
    text = _read(name)
    if text is None:
        raise NotFound(f"there is nothing at {request.path}")
    answer = _tagged(request, text, media_type(name))
    if name.endswith((".html", ".svg")):
        answer.headers["Content-Security-Policy"] = POLICY
        answer.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        answer.headers["X-Frame-Options"] = "DENY"
    return answer


def _tagged(request: web.Request, text: bytes, kind: str) -> web.Response:
    tag = hashlib.sha256(text).hexdigest()[:32]
    headers = {"Cache-Control": "no-cache"}
    if any(known.value in (tag, "*") for known in request.if_none_match or ()):
        answer = web.Response(status=304, headers=headers)
    else:
        charset = "utf-8" if kind.startswith("text/") or kind.endswith("svg+xml") else None
        answer = web.Response(body=text, content_type=kind, charset=charset, headers=headers)
        if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "") and len(text) > 1024:
            answer.enable_compression()
    answer.etag = ETag(tag)
    return answer


@lru_cache(maxsize=64)
def _known() -> frozenset[str]:
    return frozenset(path.name for path in STATIC.iterdir() if path.is_file())


def _read(name: str) -> bytes | None:
    return (STATIC / name).read_bytes() if name in _known() else None
