"""Client: one WebSocket of ComfyUI's kind. It hears of its own jobs only; when it reads slowly, nobody else waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from typing import Any

from aiohttp import WSCloseCode, web

from marquetry.server.comfy import messages
from marquetry.server.comfy.standing import Standing
from marquetry.server.comfy.translator import Frame, Translator
from marquetry.server.http.frames import send_all
from marquetry.server.jobs.message import Gap
from marquetry.server.jobs.subscription import Subscription

logger = logging.getLogger(__name__)
SEND_TIMEOUT_S = 60.0
MAX_POSTED = 1_000


class Client:
    """`heard` is the number of the newest event that was sent. `post` sends something else in between."""

    def __init__(
        self,
        id: str,
        address: str,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        translator: Translator,
        subscription: Subscription,
        heard: int,
        standing: Standing,
    ) -> None:
        self.id = id
        self.address = address
        self.translator = translator
        self.wants_logs = False
        self.heard = heard
        self._socket = socket
        self._transport = transport
        self._subscription = subscription
        self._standing = standing
        self._posted: deque[str] = deque(maxlen=MAX_POSTED)
        self._woken = asyncio.Event()
        self._poster: asyncio.Task[None] | None = None

    async def run(self, first: list[Frame]) -> None:
        """Send until the socket closes, or nothing can be sent for a minute. Where events were dropped, the client is told how things stand."""
        try:
            await self._send(first)
            while not self._socket.closed:
                batch = await self._subscription.batch(self.translator.wait_s())
                if self._subscription.closed:
                    return
                frames = self.translator.frames(batch) if batch else self.translator.flush()
                if any(type(message.event) is Gap for message in batch):
                    frames += await self._standing.frames(self.translator, with_outputs=True)
                if frames:
                    await self._send(frames)
                if batch:
                    self.heard = batch[-1].seq
        except (ConnectionResetError, TimeoutError):
            self._transport.close()
        except Exception:
            logger.exception("the socket of client %s failed", self.id)
            await self._socket.close(code=WSCloseCode.INTERNAL_ERROR, message=b"something is wrong in the server")
        finally:
            self._subscription.close()
            if self._poster is not None:
                self._poster.cancel()

    def post(self, kind: str, data: Mapping[str, Any]) -> None:
        """Send a message that is no event; the oldest are dropped where too many wait."""
        self._posted.append(messages.message(kind, data))
        if self._poster is None:
            self._poster = asyncio.create_task(self._send_posted())
        self._woken.set()

    async def close(self, reason: bytes, code: int = WSCloseCode.GOING_AWAY) -> None:
        """End the socket."""
        self._subscription.close()
        await self._socket.close(code=code, message=reason)

    async def _send_posted(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._posted:
                await self._send([self._posted.popleft()])

    async def _send(self, frames: list[Frame]) -> None:
        await send_all(self._transport, frames, SEND_TIMEOUT_S)
