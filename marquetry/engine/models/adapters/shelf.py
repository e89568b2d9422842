"""AdapterShelf: adapters that were read, kept by content, so that jobs which use the same one read it once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from marquetry.engine.models.adapters.adapter import Adapter
from marquetry.engine.models.adapters.read import read_adapter

DEFAULT_LIMIT_BYTES = 2**30


class AdapterShelf:
    """Adapters by content hash. Beyond `limit_bytes` of factors the least recently used are put away. Thread-safe."""

    def __init__(self, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self.nbytes = 0
        self._adapters: OrderedDict[str, Adapter] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, path: Path, content_hash: str) -> Adapter:
        """The adapter in the file, whose content has that hash. Raises ModelFormatError as `read_adapter` does."""
        with self._lock:
            adapter = self._adapters.get(content_hash)
            if adapter is None:
                adapter = self._adapters[content_hash] = read_adapter(path, content_hash=content_hash)
                self.nbytes += adapter.nbytes
            self._adapters.move_to_end(content_hash)
            while self.nbytes > self.limit_bytes and len(self._adapters) > 1:
                _, oldest = self._adapters.popitem(last=False)
                self.nbytes -= oldest.nbytes
        return adapter


SHELF = AdapterShelf()
