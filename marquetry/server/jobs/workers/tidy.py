"""Tidy: gives memory that jobs no longer hold back to the system, in the pauses between them.

The C library keeps what large arrays leave behind, in pieces that fit nothing else, so that a worker would grow although it holds no more.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import time
from collections.abc import Callable

QUIET_S = 1.0
BUSY_S = 30.0


class Tidy:
    """`busy` says whether a job runs. A pause of a second is used; without one, twice a minute must do."""

    def __init__(self, busy: Callable[[], bool]) -> None:
        self._busy = busy
        self._worked = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._watch, name="tidy", daemon=True)
        self._thread.start()

    def worked(self) -> None:
        """A job began or ended."""
        if not self._worked.is_set():
            self._worked.set()

    def close(self) -> None:
        """End, soon."""
        self._closed = True
        self._worked.set()

    def _watch(self) -> None:
        while not self._closed:
            self._worked.wait()
            self._worked.clear()
            until_s = time.monotonic() + BUSY_S
            while not self._closed and time.monotonic() < until_s:
                time.sleep(QUIET_S)
                if not self._worked.is_set() and not self._busy():
                    break
                self._worked.clear()
            if not self._closed:
                give_back()


def give_back() -> None:
    """Collect garbage, and let the C library return free pages, where it knows how."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
