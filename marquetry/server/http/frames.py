"""WebSocket frames of a server, many in one write: one wake-up of the client for a whole batch (RFC 6455, section 5.2)."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable

WAITING_BYTES = 1024 * 1024  # more than this unsent: the reader is slow, and the writer waits
LOOK_AGAIN_S = 0.005
TEXT, BINARY = 0x81, 0x82  # a whole message in one frame, unmasked as servers send


def packed(messages: Iterable[str | bytes]) -> bytes:
    """The frames of texts and binary messages, joined."""
    parts: list[bytes] = []
    for message in messages:
        opcode, payload = (TEXT, message.encode()) if type(message) is str else (BINARY, message)
        size = len(payload)
        if size < 126:
            parts.append(struct.pack(">BB", opcode, size))
        elif size < 65536:
            parts.append(struct.pack(">BBH", opcode, 126, size))
        else:
            parts.append(struct.pack(">BBQ", opcode, 127, size))
        parts.append(payload)  # type: ignore[arg-type]
    return b"".join(parts)


async def send_all(transport: asyncio.Transport, messages: Iterable[str | bytes], patience_s: float) -> None:
    """Write messages at once, then wait while the reader is far behind. Raises ConnectionResetError when it is gone, TimeoutError."""
    if transport.is_closing():
        raise ConnectionResetError("the connection is closed")
    data = packed(messages)
    if not data:
        return
    transport.write(data)
    if transport.get_write_buffer_size() > WAITING_BYTES:
        async with asyncio.timeout(patience_s):
            while transport.get_write_buffer_size() > WAITING_BYTES:
                if transport.is_closing():
                    raise ConnectionResetError("the connection is closed")
                await asyncio.sleep(LOOK_AGAIN_S)
