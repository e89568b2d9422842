"""Voice: how node packs speak to clients, from before anybody listens."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec

from marquetry.server.jobs.plain import plain, plain_tree

MAX_KEPT = 100
Speaker = Callable[[str, bytes, str | None], object]


class Voice:
    """What is said before there is a speaker is kept, as far as it is little."""

    def __init__(self) -> None:
        self._speaker: Speaker | None = None
        self._kept: list[tuple[str, bytes, str | None]] = []
        self._lock = threading.Lock()

    def say(self, name: str, data: Any, client_id: str | None = None) -> None:
        """Tell one client, or all; from any thread."""
        try:
            encoded = msgspec.json.encode(data, enc_hook=plain)
        except Exception:  # a pack's own values
            encoded = msgspec.json.encode(plain_tree(data))
        with self._lock:
            if self._speaker is None:
                self._kept = [*self._kept, (name, encoded, client_id)][-MAX_KEPT:]
                return
        self._speaker(name, encoded, client_id)

    def speak_through(self, speaker: Speaker) -> None:
        """Let this carry all that is said, and what was said so far."""
        with self._lock:
            self._speaker = speaker
            kept, self._kept = self._kept, []
        for said in kept:
            speaker(*said)
