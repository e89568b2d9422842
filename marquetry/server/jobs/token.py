"""Tokens: random names that nobody guesses and nobody gets twice. Randomness is fetched in bulk: asking the kernel for each gives up the GIL."""

from __future__ import annotations

import os
import threading

POOL_BYTES = 4096
_lock = threading.Lock()
_pool = b""
_used = 0


def random_bytes(count: int) -> bytes:
    """Unpredictable bytes, at most `POOL_BYTES`; from any thread."""
    global _pool, _used
    with _lock:
        if _used + count > len(_pool):
            _pool, _used = os.urandom(POOL_BYTES), 0
        _used += count
        return _pool[_used - count : _used]


def lease_token() -> str:
    """The proof of a lease."""
    return random_bytes(16).hex()


def job_id() -> str:
    """A random UUID, as ComfyUI's job ids are."""
    drawn = bytearray(random_bytes(16))
    drawn[6] = drawn[6] & 0x0F | 0x40  # version 4
    drawn[8] = drawn[8] & 0x3F | 0x80  # of RFC 4122
    text = drawn.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _forget() -> None:
    global _pool, _used
    _pool, _used = b"", 0


os.register_at_fork(after_in_child=_forget)  # two processes must not draw from one pool
