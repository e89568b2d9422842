"""Which module dresses which setting."""

from __future__ import annotations

from collections.abc import Callable

from marquetry.nodes.world.stage.palette import Rgb
from marquetry.nodes.world.stage.places import field, room
from marquetry.nodes.world.stage.theatre import Theatre

PLACES: dict[str, Callable[[Theatre], tuple[Rgb, Rgb]]] = {
    "field": field.dress,
    "room": room.dress,
}
