"""`execution` for packs: names that they import; running graphs is the engine's own."""

from __future__ import annotations

from marquetry.engine.outcome import ExecutionBlocker

MAXIMUM_HISTORY_SIZE = 10000
__all__ = ["MAXIMUM_HISTORY_SIZE", "ExecutionBlocker"]
