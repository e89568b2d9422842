"""The collector of garbage, told what this program is like: millions of small, short-lived objects above a large heap that stays."""

from __future__ import annotations

import gc

YOUNG_OBJECTS = 50_000  # Python's own 700 would have it look several times at every large graph


def calm() -> None:
    """Take what lives now out of later collections, and let them come seldom. Called once, when a process is ready to work.

    Nothing is collected first: what imports leave is a hundredth of what a full collection would look at, and half a second in a worker.
    """
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)
    gc.enable()
