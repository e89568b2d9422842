"""A client that costs next to nothing, so that figures are the server's: plain sockets, no JSON read, WebSocket frames counted by what they say."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import struct
from collections import deque
from collections.abc import Sequence
from typing import cast

WAIT_S = 120.0
SUCCESS = b'{"type":"execution_success"'


def request(host: str, path: str, body: bytes) -> bytes:
    """A POST as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def connect(address: tuple[str, int]) -> socket.socket:
    """A blocking connection that sends at once."""
    made = socket.create_connection(address, WAIT_S)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def open_websocket(address: tuple[str, int], client_id: str) -> socket.socket:
    """A connection on which the server sends frames from here on."""
    made = connect(address)
    key = base64.b64encode(os.urandom(16)).decode()
    made.sendall(
        f"GET /ws?clientId={client_id} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += made.recv(1)
    assert b" 101 " in answer, answer
    return made


def send_text(websocket: socket.socket, text: bytes) -> None:
    """One short frame, masked with nothing."""
    assert len(text) < 126
    websocket.sendall(struct.pack(">BBI", 0x81, 0x80 | len(text), 0) + text)


class Frames:
    """Cuts what a WebSocket sends into messages."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that these bytes complete."""
        data = self._rest + data if self._rest else data
        found: list[bytes] = []
        place, end = 0, len(data)
        while end - place >= 2:
            size, start = data[place + 1], place + 2
            if size == 126:
                if end - place < 4:
                    break
                size, start = int.from_bytes(data[place + 2 : place + 4], "big"), place + 4
            elif size == 127:
                if end - place < 10:
                    break
                size, start = int.from_bytes(data[place + 2 : place + 10], "big"), place + 10
            if end - start < size:
                break
            place = start + size
            found.append(data[start:place])
        self._rest = data[place:]
        return found


def read_answer(connection: socket.socket) -> bytes:
    """The body of one answer. Raises RuntimeError when it is not a 200."""
    data = b""
    while True:
        data += connection.recv(65536)
        whole = _whole(data)
        if whole:
            return data[data.index(b"\r\n\r\n") + 4 : whole]


def _whole(data: bytes) -> int:
    """Where the first answer of `data` ends; 0 while it is not there."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return 0
    if not data.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(data[:2000].decode(errors="replace"))
    place = data.lower().index(b"content-length:", 0, head)
    end = head + 4 + int(data[place + 15 : data.index(b"\r\n", place)])
    return end if len(data) >= end else 0


class _Poster(asyncio.Protocol):
    """One connection that sends the next request as soon as the last is answered."""

    def __init__(self, waiting: deque[bytes]) -> None:
        self._waiting = waiting
        self._data = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = _whole(self._data)
        if end:
            self._data = self._data[end:]
            self.send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionResetError("the server hung up"))

    def send(self) -> None:
        """The next request, if there is one."""
        if self._waiting:
            self._transport.write(self._waiting.popleft())
        elif not self.done.done():
            self.done.set_result(None)


class _Listener(asyncio.Protocol):
    """Counts ends of jobs."""

    def __init__(self, jobs: int) -> None:
        self._frames = Frames()
        self._left = jobs
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        for payload in self._frames.feed(data):
            if payload.startswith(SUCCESS):
                self._left -= 1
        if not self._left and not self.done.done():
            self.done.set_result(None)


async def post_all(address: tuple[str, int], client_id: str, requests: Sequence[bytes], connections: int) -> tuple[float, float]:
    """Seconds until all requests were answered, and until the client heard of as many ends of jobs."""
    loop = asyncio.get_running_loop()
    websocket = open_websocket(address, client_id)
    websocket.setblocking(False)
    _, listener = await loop.create_connection(lambda: _Listener(len(requests)), sock=websocket)
    waiting = deque(requests)
    made = [await loop.create_connection(lambda: _Poster(waiting), *address) for _ in range(connections)]
    started = loop.time()
    for _, poster in made:
        poster.send()
    await asyncio.gather(*(poster.done for _, poster in made))
    answered_s = loop.time() - started
    async with asyncio.timeout(WAIT_S):
        await listener.done
    ended_s = loop.time() - started
    for transport, _ in made:
        transport.close()
    return answered_s, ended_s
