"""DiskStore: the cache's second tier. Results that took long to make survive the process, so that a job whose worker died goes on from them.

One safetensors file for each result, named by its key; the structure around the tensors is JSON in the file's metadata. Nothing is pickled.
Results of node packs' classes are kept for one run of the server only: such nodes may read things that their identity does not name.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from marquetry.engine.cache import Result
from marquetry.engine.identity import Key

WORTH_S = 0.25  # what took less is made again sooner than it is worth a file
FORMAT = "marquetry-result-1"
MAX_QUEUED = 64


class DiskStore:
    """Results below `folder`, at most `budget_bytes` of them; the longest unused go first, those unused for `max_age_s` in any case.

    `epoch` names the run of the server: results that do not outlast it are dropped when another begins. Writing happens in a thread of its own.
    """

    def __init__(
        self, folder: Path, budget_bytes: int, *, worth_s: float = WORTH_S, max_age_s: float = float("inf"), epoch: str = ""
    ) -> None:
        self.folder = folder
        self.budget_bytes = budget_bytes
        self.worth_s = worth_s
        self.max_age_s = max_age_s
        self.epoch = epoch or uuid.uuid4().hex
        self._passing: set[Key] = set()  # what does not outlast the epoch
        self.held_bytes = 0
        self._used: dict[Key, tuple[float, int]] = {}  # key -> (time of last use, bytes)
        self._lock = threading.Lock()
        self._queue: queue.Queue[tuple[Key, Result] | None] = queue.Queue(MAX_QUEUED)
        self._writer: threading.Thread | None = None
        folder.mkdir(parents=True, exist_ok=True)
        for entry in _files(folder):
            name, _, epoch = entry.stem.partition(".")
            if epoch and epoch != self.epoch:
                entry.unlink(missing_ok=True)
                continue
            status = entry.stat()
            key = bytes.fromhex(name)
            self._used[key] = (status.st_mtime, status.st_size)
            self.held_bytes += status.st_size
            if epoch:
                self._passing.add(key)
        self._evict()

    def __contains__(self, key: object) -> bool:
        return key in self._used

    def holds_any(self, keys: Iterable[Key]) -> bool:
        """Whether at least one of the keys is here."""
        return not self._used.keys().isdisjoint(keys)

    def __len__(self) -> int:
        return len(self._used)

    def offer(self, key: Key, result: Result) -> None:
        """Keep the result if it took long to make, is made of tensors and plain values, and shows nothing in the output folder."""
        if result.cost_s < self.worth_s or result.ui is not None or result.inner_ui is not None or key in self._used:
            return
        with self._lock:
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_all, name="marquetry-disk-store", daemon=True)
                self._writer.start()
        try:
            self._queue.put_nowait((key, result))
        except queue.Full:
            return

    def load(self, key: Key) -> Result | None:
        """The result, or None when its file is gone or damaged; such a file is deleted."""
        from safetensors import SafetensorError, safe_open

        path = self._path(key)
        try:
            with safe_open(str(path), framework="pt") as file:
                about = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            if about.get("format") != FORMAT:
                raise ValueError("unknown format")
            outputs = _unpack(json.loads(about["outputs"]), tensors)
            result = Result(tuple(outputs), None, float(about["cost_s"]))
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            self._forget(key)
            return None
        with self._lock:
            if key in self._used:
                self._used[key] = (time.time(), self._used[key][1])
        with contextlib.suppress(OSError):  # the next process goes by the file's time
            os.utime(path)
        return result

    def flush(self) -> None:
        """Wait until everything that was offered is written."""
        self._queue.join()

    def _write_all(self) -> None:
        while True:
            entry = self._queue.get()
            try:
                if entry is None:
                    return
                self._write(*entry)
            finally:
                self._queue.task_done()

    def _write(self, key: Key, result: Result) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        tensors: dict[str, Any] = {}
        try:
            structure = _pack(list(result.outputs), tensors)
        except TypeError:
            return
        if not result.lasting:
            self._passing.add(key)
        path = self._path(key)
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, str(part), {"format": FORMAT, "outputs": json.dumps(structure), "cost_s": repr(result.cost_s)})
            size = part.stat().st_size
            os.replace(part, path)
        except (OSError, SafetensorError):
            part.unlink(missing_ok=True)
            return
        with self._lock:
            self.held_bytes += size - self._used.get(key, (0.0, 0))[1]
            self._used[key] = (time.time(), size)
        self._evict()

    def _evict(self) -> None:
        oldest = time.time() - self.max_age_s
        with self._lock:
            order = sorted(self._used, key=lambda known: self._used[known][0])
            too_old = [key for key in order if self._used[key][0] < oldest]
        for key in too_old:
            self._forget(key)
        for key in order[len(too_old) :]:
            if self.held_bytes <= self.budget_bytes:
                break
            self._forget(key)

    def _forget(self, key: Key) -> None:
        with self._lock:
            _, size = self._used.pop(key, (0.0, 0))
            self.held_bytes -= size
        self._path(key).unlink(missing_ok=True)
        self._passing.discard(key)

    def _path(self, key: Key) -> Path:
        name = key.hex()
        epoch = f".{self.epoch}" if key in self._passing else ""
        return self.folder / name[:2] / f"{name}{epoch}.safetensors"


def _files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for path in folder.glob("??/*"):
        if path.suffix == ".part":
            path.unlink(missing_ok=True)
        elif path.suffix == ".safetensors" and len(path.stem.partition(".")[0]) == 64:
            found.append(path)
    return found


def _pack(value: Any, tensors: dict[str, Any]) -> Any:
    """Plain JSON with tensors taken out. Raises TypeError for anything that can't be written down."""
    import torch

    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is torch.Tensor and value.layout == torch.strided:
        name = str(len(tensors))
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if type(value) is dict and all(type(key) is str for key in value):
        return {"dict": {key: _pack(part, tensors) for key, part in value.items()}}
    if type(value) in (list, tuple):
        return {type(value).__name__: [_pack(part, tensors) for part in value]}
    raise TypeError(f"a {type(value).__name__} can't be stored")


def _unpack(value: Any, tensors: dict[str, Any]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _unpack(part, tensors) for key, part in content.items()}
    parts = [_unpack(part, tensors) for part in content]
    return tuple(parts) if kind == "tuple" else parts
