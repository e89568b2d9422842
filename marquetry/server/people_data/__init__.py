"""What is kept of people: each module here that defines `ROOM` says it for one room, and is found by scanning.

`ROOM` has a name, the tables that it answers for, `export` and `erase` (see `room.Room`). For tables whose rows carry their owner in a column,
`owned.OwnedRows` does both from a description. A test fails for a table with a person's id in it that no room answers for. What is told of
somebody on request, and what goes when they leave, is all of this and nothing else.
"""

from __future__ import annotations

import importlib
import pkgutil

from marquetry.server.people_data.room import Room


def rooms() -> list[Room]:
    """All rooms, in the order in which they are erased: who can't sign in any more makes nothing new."""
    found: list[Room] = []
    for entry in pkgutil.iter_modules(__path__):
        room = getattr(importlib.import_module(f"{__name__}.{entry.name}"), "ROOM", None)
        if room is not None:
            found.append(room)
    return sorted(found, key=lambda room: (room.name != "accounts", room.name))
