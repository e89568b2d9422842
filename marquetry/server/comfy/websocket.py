"""GET /ws: the WebSocket of ComfyUI's clients."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from typing import Any

import orjson
from aiohttp import WSCloseCode, WSMsgType, web
from pydantic import BaseModel, Field

from marquetry.server.caller import client_place, socket_owner
from marquetry.server.comfy import messages
from marquetry.server.comfy.client import Client
from marquetry.server.comfy.features import server_features
from marquetry.server.comfy.standing import Standing
from marquetry.server.comfy.translator import Translator
from marquetry.server.http.body import read_query
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.jobs.message import JobQueued
from marquetry.server.keys import JOBS, SETTINGS, SOCKETS

routes = RouteTable("ComfyUI: events", ("", "/api"))
MAX_MESSAGE_BYTES = 1024 * 1024
PING_S = 30.0  # keeps proxies from closing a quiet connection; scripts answer only while they read, so no answer is waited for
MAX_FEATURES = 64
UNTOLD = frozenset({JobQueued})  # the answer of the POST says it


class SocketQuery(BaseModel):
    clientId: str = Field(default="", max_length=128, description="who connects; the same id comes back to where it was")


@routes.get("/ws", "Events, as a WebSocket", query=SocketQuery, answers={101: Answer("the socket is open")})
async def websocket(request: web.Request) -> web.StreamResponse:
    """The first message is `status` with the client's id as `sid`. A client hears of the jobs that it submitted under this id."""
    query = read_query(request, SocketQuery)
    application = request.app
    sockets, jobs = application[SOCKETS], application[JOBS]
    sockets.admit(request.remote or "")
    client_id = query.clientId or uuid.uuid4().hex
    owner, place = socket_owner(request), client_place(request, client_id)
    socket = web.WebSocketResponse(max_msg_size=MAX_MESSAGE_BYTES, compress=False)
    await socket.prepare(request)
    since = sockets.missed_since(place)
    known = sockets.find(place)
    if known is not None:
        since = known.heard
    subscription = jobs.feed.subscribe(client_id=client_id, owner=owner, since=since, without=UNTOLD)
    standing = Standing(jobs, client_id, owner)
    transport = request.transport
    if transport is None:
        return socket
    translator = Translator(jobs.remaining)
    client = Client(place, request.remote or "", socket, transport, translator, subscription, since or jobs.feed.seq, standing)
    replaced = sockets.add(client)
    if replaced is not None:
        await replaced.close(b"another socket has taken this client id", WSCloseCode.POLICY_VIOLATION)
    first: list[str | bytes] = [messages.status(jobs.remaining(), client_id), *await standing.frames(translator)]
    sender, pinger = asyncio.create_task(client.run(first)), asyncio.create_task(_ping(socket))
    try:
        async for received in socket:
            if received.type is WSMsgType.TEXT:
                _listen(client, received.data, server_features(application[SETTINGS]))
    finally:
        sockets.remove(client)
        subscription.close()
        sender.cancel()
        pinger.cancel()
    return socket


async def _ping(socket: web.WebSocketResponse) -> None:
    with suppress(ConnectionError):
        while not socket.closed:
            await asyncio.sleep(PING_S)
            await socket.ping()


def _listen(client: Client, text: str, ours: dict[str, Any]) -> None:
    try:
        received = orjson.loads(text)
    except orjson.JSONDecodeError:
        return
    if not isinstance(received, dict) or received.get("type") != "feature_flags":
        return
    features = received.get("data")
    if isinstance(features, dict):
        client.translator.features = dict(list(features.items())[:MAX_FEATURES])
        client.post("feature_flags", ours)
