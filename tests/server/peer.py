"""A real server on loopback and a client of it."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from marquetry.engine.cache import ResultCache
from marquetry.engine.context import Services
from marquetry.engine.execution.executor import Executor
from marquetry.engine.folders import Folders
from marquetry.server import keys
from marquetry.server.app import MAX_LINE_BYTES, create_app
from marquetry.server.database.database import Database
from marquetry.server.jobs.service import JobService
from marquetry.server.jobs.workers.inline import InlineWorker
from marquetry.server.jobs.workers.parts import EngineParts
from marquetry.server.logs import LogBuffer
from marquetry.server.settings import Settings
from tests.server import nodes

PATIENCE_S = 20.0


@dataclass
class Socket:
    """A WebSocket that keeps what it heard. `texts` are (type, data), `frames` are (type number, rest)."""

    socket: aiohttp.ClientWebSocketResponse
    texts: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    frames: list[tuple[int, bytes]] = field(default_factory=list)
    received_bytes: int = 0

    async def next(self) -> tuple[str, dict[str, Any]] | None:
        """The next text message; None for a binary frame."""
        message = await asyncio.wait_for(self.socket.receive(), PATIENCE_S)
        if message.type is aiohttp.WSMsgType.TEXT:
            self.received_bytes += len(message.data)
            parsed = json.loads(message.data)
            self.texts.append((parsed["type"], parsed.get("data", parsed)))
            return self.texts[-1]
        if message.type is aiohttp.WSMsgType.BINARY:
            self.received_bytes += len(message.data)
            self.frames.append((struct.unpack(">I", message.data[:4])[0], message.data[4:]))
            return None
        raise ConnectionResetError(f"the socket closed: {message.type} {message.data} {message.extra}")

    async def until(self, accept: Callable[[str, dict[str, Any]], bool]) -> dict[str, Any]:
        """Read until a message is accepted; its data."""
        while True:
            found = await self.next()
            if found is not None and accept(*found):
                return found[1]

    async def ended(self, prompt_id: str) -> list[tuple[str, dict[str, Any]]]:
        """Read until a job's end; all that was heard of it."""
        await self.until(lambda kind, data: kind == "executing" and data["node"] is None and data.get("prompt_id") == prompt_id)
        return [(kind, data) for kind, data in self.texts if data.get("prompt_id") == prompt_id]

    async def close(self) -> None:
        await self.socket.close()


@dataclass
class Peer:
    """A running server and a client session whose addresses are relative to it."""

    application: web.Application
    session: aiohttp.ClientSession
    folders: Folders
    address: str
    opened: list[Socket] = field(default_factory=list)

    @property
    def jobs(self) -> JobService:
        return self.application[keys.JOBS]

    async def socket(self, client_id: str = "", **features: Any) -> Socket:
        """A WebSocket that has heard its first message."""
        socket = Socket(await self.session.ws_connect(f"/ws?clientId={client_id}", max_msg_size=0))
        self.opened.append(socket)
        await socket.next()
        if features:
            await socket.socket.send_json({"type": "feature_flags", "data": features})
            await socket.until(lambda kind, data: kind == "feature_flags")
        return socket

    async def submit(self, prompt: dict[str, Any], client_id: str = "", **more: Any) -> str:
        """POST /prompt; the id of the job."""
        body = {"prompt": prompt, **({"client_id": client_id} if client_id else {}), **more}
        async with self.session.post("/prompt", json=body) as answer:
            assert answer.status == 200, await answer.text()
            taken = await answer.json()
        return str(taken["prompt_id"])

    async def done(self, prompt_id: str) -> dict[str, Any]:
        """The job's entry in the history, once it is there."""
        await self.jobs.wait(prompt_id, PATIENCE_S)
        async with self.session.get(f"/history/{prompt_id}") as answer:
            entry: dict[str, Any] = (await answer.json())[prompt_id]
        return entry

    async def json(self, method: str, path: str, status: int = 200, **request: Any) -> Any:
        """The JSON of an answer, whose status is checked."""
        async with self.session.request(method, path, **request) as answer:
            assert answer.status == status, (answer.status, await answer.text())
            return await answer.json()

    async def send(self, method: str, path: str, status: int = 200, **request: Any) -> bytes:
        """The bytes of an answer, whose status is checked."""
        async with self.session.request(method, path, **request) as answer:
            data = await answer.read()
            assert answer.status == status, (answer.status, data)
            return data


@asynccontextmanager
async def served(data: Path, **settings: Any) -> AsyncIterator[Peer]:
    """A server with an inline engine of test nodes, on a free port."""
    chosen = Settings(data=data, workers="inline", **settings)
    folders = Folders(data, apart=chosen.accounts.enabled)
    registry = nodes.registry()

    def build() -> EngineParts:
        services = Services(folders)
        return EngineParts(registry, services, Executor(registry, services, ResultCache(64 << 20), cpu_threads=4))

    data.mkdir(parents=True, exist_ok=True)
    database = await Database.open(chosen.database)
    jobs = JobService(database, [InlineWorker(build)], queued_per_client=chosen.limits.queued_jobs_per_client)
    application = create_app(chosen, jobs, registry, folders, logs=LogBuffer())
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0, max_line_size=MAX_LINE_BYTES)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with asyncio.timeout(PATIENCE_S):
            while not jobs.ready:
                await asyncio.sleep(0.001)
        async with aiohttp.ClientSession(address) as session:
            peer = Peer(application, session, folders, address)
            yield peer
            for socket in peer.opened:
                await socket.close()
    finally:
        await runner.cleanup()
        await database.close()
