"""GET /system_stats: the machine, the versions, the devices. Facts of torch come from the worker that has it; the server imports none."""

from __future__ import annotations

import sys
from typing import Any

import psutil
from aiohttp import web
from pydantic import BaseModel

from marquetry import __version__
from marquetry.server.comfy import PREFIXES
from marquetry.server.http.answer import json_answer
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.keys import JOBS

routes = RouteTable("ComfyUI: system", PREFIXES)
COMFYUI_VERSION = "0.3.64"  # whose interface this server offers; clients compare it


class SystemStats(BaseModel):
    system: dict[str, Any]
    devices: list[dict[str, Any]]


@routes.get("/system_stats", "The machine and its devices", answers={200: Answer("memory, versions, devices", SystemStats)})
async def system_stats(request: web.Request) -> web.Response:
    libraries: dict[str, str] = {}
    devices: list[dict[str, Any]] = []
    for worker in await request.app[JOBS].stats():
        libraries |= worker.libraries
        devices += [device for device in worker.devices if device not in devices]
    memory = psutil.virtual_memory()
    return json_answer(
        {
            "system": {
                "os": "nt" if sys.platform == "win32" else "posix" if sys.platform != "darwin" else "darwin",
                "ram_total": memory.total,
                "ram_free": memory.available,
                "comfyui_version": COMFYUI_VERSION,
                "required_frontend_version": "1.27.10",
                "installed_templates_version": "",
                "required_templates_version": "",
                "python_version": sys.version,
                "pytorch_version": libraries.get("torch", ""),
                "embedded_python": False,
                "argv": ["marquetry", "serve"],
                "marquetry_version": __version__,
            },
            "devices": devices or [_processor(memory.total, memory.available)],
        }
    )


def _processor(total: int, free: int) -> dict[str, Any]:
    """What stands for a device until a worker has told its own."""
    return {
        "name": "cpu",
        "type": "cpu",
        "index": None,
        "vram_total": total,
        "vram_free": free,
        "torch_vram_total": total,
        "torch_vram_free": free,
    }
