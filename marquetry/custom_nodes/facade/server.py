"""`server` for packs: the one PromptServer that they talk to. Its messages go out through the engine's worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from marquetry.custom_nodes.installation import current
from marquetry.engine.expansion import current_context


class BinaryEventTypes:
    """Kinds of binary messages."""

    PREVIEW_IMAGE = 1
    UNENCODED_PREVIEW_IMAGE = 2
    TEXT = 3
    PREVIEW_IMAGE_WITH_METADATA = 4


class PromptServer:
    """What packs see of the server: `routes` to register handlers on, and messages to clients."""

    instance: PromptServer

    def __init__(self) -> None:
        self.routes = web.RouteTableDef()
        self.app = web.Application()
        self.client_id: str | None = None
        self.last_node_id: str | None = None
        self.last_prompt_id: str | None = None
        self.number = 0
        self.address = str(current().options.get("listen", "127.0.0.1"))
        self.port = int(current().options.get("port", 8188))
        self.supports = ["custom_nodes_from_web"]
        self.sockets: dict[str, Any] = {}
        self.on_prompt_handlers: list[Callable[[dict[str, Any]], dict[str, Any]]] = []
        self.loop = _loop()

    def send_sync(self, event: Any, data: Any, sid: str | None = None) -> None:
        """Send a message to one client, or to all."""
        current().send(event, data, sid)

    async def send(self, event: Any, data: Any, sid: str | None = None) -> None:
        """As `send_sync`."""
        self.send_sync(event, data, sid)

    def send_progress_text(self, text: str | bytes, node_id: str, sid: str | None = None) -> None:
        """Show a line of text on a node."""
        context = current_context.get()
        shown = text.decode() if isinstance(text, bytes) else text
        if context is not None and context.reporter is not None:
            context.reporter.text(node_id, shown)

    def add_on_prompt_handler(self, handler: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Let a function change what is submitted, before it is read."""
        self.on_prompt_handlers.append(handler)

    def trigger_on_prompt(self, json_data: dict[str, Any]) -> dict[str, Any]:
        """What the handlers make of a submission."""
        for handler in self.on_prompt_handlers:
            json_data = handler(json_data)
        return json_data

    def get_queue_info(self) -> dict[str, Any]:
        return {"exec_info": {"queue_remaining": 0}}


def _loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


PromptServer.instance = PromptServer()
