"""A client like those that drive ComfyUI from scripts: one WebSocket that it reads, plain HTTP beside it."""

from __future__ import annotations

import asyncio
import io
import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp
import numpy
from PIL import Image

from marquetry.engine.expansion import GraphBuilder, GraphNode

PATIENCE_S = 60.0


class Refused(Exception):
    """The server answered a request with an error. `body` is its JSON, or its text."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body


class ExecutionError(Exception):
    """An `execution_error` came. `data` is what it said."""

    def __init__(self, data: dict[str, Any]) -> None:
        super().__init__(data)
        self.data = data


@dataclass
class Outcome:
    """What a client saw of one prompt."""

    prompt_id: str
    ran: list[str] = field(default_factory=list)
    cached: set[str] = field(default_factory=set)
    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    history: dict[str, Any] = field(default_factory=dict)
    levels: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    seconds: float = 0.0

    def did_run(self, node: GraphNode) -> bool:
        return node.id in self.ran

    def was_needed(self, node: GraphNode) -> bool:
        return node.id in self.ran or node.id in self.cached

    def pictures(self, node: GraphNode) -> list[tuple[int, int]]:
        """The darkest and brightest byte of each picture that the node showed."""
        return self.levels.get(node.id, [])

    def shown(self, node: GraphNode | str, name: str = "value") -> Any:
        """What a node showed under a name, or None."""
        shown: dict[str, Any] = self.history["outputs"].get(node if isinstance(node, str) else node.id, {})
        return shown.get(name)

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.messages]


class Client:
    """Reads its socket only while it waits for a prompt. File names of SaveImage nodes begin with `prefix`, set after `finalize`."""

    def __init__(self, address: str, client_id: str | None = None, prefix: str = "compat[client]") -> None:
        self.address = address
        self.client_id = client_id or uuid.uuid4().hex
        self.prefix = prefix
        self.texts: list[tuple[str, dict[str, Any]]] = []
        self._loop = asyncio.new_event_loop()
        self._session, self._socket = self._loop.run_until_complete(self._connect())

    async def _connect(self) -> tuple[aiohttp.ClientSession, aiohttp.ClientWebSocketResponse]:
        session = aiohttp.ClientSession()
        try:
            return session, await session.ws_connect(f"{self.address}/ws?clientId={self.client_id}", max_msg_size=0)
        except BaseException:
            await session.close()
            raise

    def close(self) -> None:
        self._loop.run_until_complete(self._disconnect())
        self._loop.close()

    async def _disconnect(self) -> None:
        await self._socket.close()
        await self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def request(self, path: str, body: Any = None) -> Any:
        """GET, or POST with a body. The parsed JSON of the answer, or its bytes. Raises Refused."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(f"{self.address}{path}", data=data), timeout=PATIENCE_S) as answer:
                content: bytes = answer.read()
                is_json = answer.headers.get_content_type() == "application/json"
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode()
            try:
                raise Refused(error.code, json.loads(text)) from None
            except json.JSONDecodeError:
                raise Refused(error.code, text) from None
        return json.loads(content) if is_json and content else content

    def queue(self, prompt: Mapping[str, Any], targets: Sequence[str] | None = None, **more: Any) -> dict[str, Any]:
        """POST /prompt."""
        body: dict[str, Any] = {"prompt": prompt, "client_id": self.client_id, **more}
        if targets is not None:
            body["partial_execution_targets"] = targets
        answer: dict[str, Any] = self.request("/prompt", body)
        return answer

    def history(self, **query: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.request(f"/history?{urllib.parse.urlencode(query)}" if query else "/history")
        return found

    def entry(self, prompt_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.request(f"/history/{prompt_id}")[prompt_id]
        return found

    def receive(self, timeout_s: float = PATIENCE_S) -> tuple[str, dict[str, Any]] | None:
        """The next text message; None for a binary frame. Raises TimeoutError."""
        message = self._loop.run_until_complete(asyncio.wait_for(self._socket.receive(), timeout_s))
        if message.type is aiohttp.WSMsgType.BINARY:
            return None
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise ConnectionResetError(f"the socket closed: {message.type!r} {message.data!r}")
        parsed = json.loads(message.data)
        self.texts.append((parsed["type"], parsed["data"]))
        return self.texts[-1]

    def hear(self, seconds: float) -> list[tuple[str, dict[str, Any]]]:
        """Everything that comes within some time."""
        before = len(self.texts)
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                self.receive(left)
            except TimeoutError:
                break
        return self.texts[before:]

    def until(self, accept: Callable[[str, dict[str, Any]], bool]) -> dict[str, Any]:
        """Read until a message is accepted; its data."""
        while True:
            message = self.receive()
            if message is not None and accept(*message):
                return message[1]

    def run(self, graph: GraphBuilder, targets: Sequence[str] | None = None, **more: Any) -> Outcome:
        """Queue a graph and follow it to its end. Raises ExecutionError at the first one, whatever its prompt; and Refused."""
        began_s = time.monotonic()
        return self.follow(self.queue(self.prompt(graph), targets, **more)["prompt_id"], began_s)

    def prompt(self, graph: GraphBuilder) -> dict[str, Any]:
        """The finished graph, its file names set afterwards."""
        prompt = graph.finalize()
        for node in graph.nodes.values():
            if node.class_type == "SaveImage":
                node.inputs["filename_prefix"] = self.prefix
        return prompt

    def fail(self, graph: GraphBuilder, targets: Sequence[str] | None = None) -> dict[str, Any]:
        """The error of a graph that must fail, and with one error only; read to the end of the prompt."""
        prompt_id = self.queue(self.prompt(graph), targets)["prompt_id"]
        before = len(self.texts)
        self.until(lambda kind, data: kind == "executing" and data["node"] is None and data["prompt_id"] == prompt_id)
        (error,) = [data for kind, data in self.texts[before:] if kind == "execution_error"]
        assert error["prompt_id"] == prompt_id
        return error

    def follow(self, prompt_id: str, began_s: float | None = None) -> Outcome:
        """Read until the prompt has ended, and then what it has left in the history."""
        began_s = time.monotonic() if began_s is None else began_s
        outcome = Outcome(prompt_id)
        while True:
            message = self.receive()
            if message is None:
                continue
            kind, data = message
            if kind == "execution_error":
                raise ExecutionError(data)
            if kind == "executing":
                if data["prompt_id"] != prompt_id:
                    continue
                if data["node"] is None:
                    break
                outcome.ran.append(data["node"])
            elif kind == "execution_cached" and data["prompt_id"] == prompt_id:
                outcome.cached |= set(data["nodes"])
            if data.get("prompt_id") == prompt_id:
                outcome.messages.append(message)
        outcome.seconds = time.monotonic() - began_s
        outcome.history = self.entry(prompt_id)
        for id, shown in outcome.history["outputs"].items():
            outcome.levels[id] = [levels(self.view(image)) for image in shown.get("images", ())]
        return outcome

    def view(self, file: Mapping[str, str]) -> bytes:
        content: bytes = self.request(f"/view?{urllib.parse.urlencode(file)}")
        return content


def levels(picture: bytes) -> tuple[int, int]:
    """The darkest and the brightest byte of an encoded picture."""
    pixels = numpy.asarray(Image.open(io.BytesIO(picture)))
    return int(pixels.min()), int(pixels.max())
