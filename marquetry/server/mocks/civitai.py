"""Civitai: versions of models and their files, as https://developer.civitai.com describes `/api/v1/model-versions/:id`.

Files in the content folder are versions 2, 3, ... by name; version 1 is the built-in model.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from aiohttp import web

from marquetry.engine.models.builtin import BUILTIN_FOLDER

ENVIRONMENT = {"CIVITAI_ENDPOINT": "{url}"}


def application(content: Path) -> web.Application:
    """The routes, over the content folder."""

    def file_of(request: web.Request) -> Path:
        known = [*sorted(BUILTIN_FOLDER.glob("*.safetensors"))[:1], *sorted(path for path in content.glob("*") if path.is_file())]
        number = int(request.match_info["id"])
        if not 1 <= number <= len(known):
            raise web.HTTPNotFound(text='{"error": "No model with id"}', content_type="application/json")
        return known[number - 1]

    async def version(request: web.Request) -> web.Response:
        path = file_of(request)
        prefix = str(request.url).partition("/api/v1/")[0]
        return web.json_response(
            {
                "id": int(request.match_info["id"]),
                "name": path.stem,
                "baseModel": "SD 1.5",
                "model": {"name": path.stem, "type": "LORA" if "lora" in path.name.lower() else "Checkpoint"},
                "files": [
                    {
                        "name": path.name,
                        "primary": True,
                        "sizeKB": path.stat().st_size / 1024,
                        "hashes": {"SHA256": hashlib.sha256(path.read_bytes()).hexdigest().upper()},
                        "downloadUrl": f"{prefix}/api/download/models/{request.match_info['id']}",
                    }
                ],
            }
        )

    async def download(request: web.Request) -> web.StreamResponse:
        return web.FileResponse(file_of(request))

    routes = web.Application()
    routes.router.add_get(r"/api/v1/model-versions/{id:\d+}", version)
    routes.router.add_get(r"/api/download/models/{id:\d+}", download)
    return routes
