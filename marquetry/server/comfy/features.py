"""GET /features: what this server understands, also told on the WebSocket."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from marquetry.server.comfy import PREFIXES
from marquetry.server.http.answer import json_answer
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.keys import SETTINGS
from marquetry.server.settings import Settings

routes = RouteTable("ComfyUI: system", PREFIXES)


def server_features(settings: Settings) -> dict[str, Any]:
    """By name; what ComfyUI's clients do not know they ignore."""
    return {
        "supports_preview_metadata": True,
        "max_upload_size": settings.limits.upload_bytes,
        "supports_progress_deltas": True,
        "node_replacements": True,
        "assets": False,
    }


@routes.get("/features", "What this server understands", answers={200: Answer("features by name", dict[str, Any])})
async def features(request: web.Request) -> web.Response:
    return json_answer(server_features(request.app[SETTINGS]))
