"""Wire: what server and child process say to each other: MessagePack structs, each after its length in four bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, TypeAlias, TypeVar

import msgspec

from marquetry.engine.events import AnyEvent, NodeFailed, NodeFinished
from marquetry.server.jobs.plain import plain, plain_tree
from marquetry.server.jobs.workers.worker import Description, Task

Reply = TypeVar("Reply")
LENGTH = struct.Struct("<I")


class Begin(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """To the child, first: build this engine."""

    factory: str
    options: dict[str, Any]


class Run(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """To the child: begin a job."""

    task: Task


class Cancel(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """To the child: stop a job."""

    job_id: str


class Ask(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """To the child: answer under this number. `body` holds the arguments of the question."""

    number: int
    question: str
    body: dict[str, Any]


class Stop(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """To the child: end."""


class Ready(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """To the server: jobs may come."""


class Warm(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """To the server: the model libraries are imported."""


class Broken(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """To the server: the engine could not be built."""

    message: str


class Events(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """To the server: what happened, in order."""

    events: list[AnyEvent]


class Said(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """To the server: what a node pack tells clients. `data` is JSON."""

    name: str
    data: bytes
    client_id: str | None


class Answer(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """To the server: the answer of that number, a struct of its own."""

    number: int
    body: bytes


class Refusal(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """To the server: no answer. `code` is that of an engine's error, or empty."""

    number: int
    code: str
    message: str


ToChild: TypeAlias = Begin | Run | Cancel | Ask | Stop
ToServer: TypeAlias = Ready | Warm | Broken | Events | Said | Answer | Refusal

_encoder = msgspec.msgpack.Encoder(enc_hook=plain)
to_child: msgspec.msgpack.Decoder[ToChild] = msgspec.msgpack.Decoder(ToChild)
to_server: msgspec.msgpack.Decoder[ToServer] = msgspec.msgpack.Decoder(ToServer)


def pack(message: ToChild | ToServer) -> bytes:
    """A frame."""
    try:
        data = _encoder.encode(message)
    except Exception:  # something in an event is not for the wire
        if not isinstance(message, Events):
            raise
        data = _encoder.encode(Events([_sendable(event) for event in message.events]))
    return LENGTH.pack(len(data)) + data


def encode(answer: Any) -> bytes:
    """The body of an answer. A description is JSON, since it is made of JSON."""
    return msgspec.json.encode(answer) if isinstance(answer, Description) else _encoder.encode(answer)


def decode(body: bytes, type: type[Reply]) -> Reply:
    """The inverse of `encode`."""
    return msgspec.json.decode(body, type=type) if type is Description else msgspec.msgpack.decode(body, type=type)


class Frames:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The frames that these bytes complete."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= LENGTH.size:
            (length,) = LENGTH.unpack_from(buffer, start)
            end = start + LENGTH.size + length
            if len(buffer) < end:
                break
            yield bytes(buffer[start + LENGTH.size : end])
            start = end
        if start:
            del buffer[:start]


def _sendable(event: AnyEvent) -> AnyEvent:
    if isinstance(event, NodeFinished):
        return msgspec.structs.replace(event, ui=plain_tree(event.ui))
    if isinstance(event, NodeFailed):
        return msgspec.structs.replace(event, current_inputs=plain_tree(event.current_inputs))
    return event
