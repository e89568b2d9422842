"""Which module dresses which setting, and what people sit on there."""

from __future__ import annotations

from collections.abc import Callable

from marquetry.nodes.world.stage.palette import Rgb
from marquetry.nodes.world.stage.places import beach, cafe, castle, field, forest, room, street
from marquetry.nodes.world.stage.props.furniture import draw_bench, draw_rock, draw_stool
from marquetry.nodes.world.stage.props.plants import draw_log
from marquetry.nodes.world.stage.theatre import Theatre

PLACES: dict[str, Callable[[Theatre], tuple[Rgb, Rgb]]] = {
    "room": room.dress,
    "cafe": cafe.dress,
    "street": street.dress,
    "field": field.dress,
    "beach": beach.dress,
    "forest": forest.dress,
    "castle": castle.dress,
}
SEATS: dict[str, tuple[str, Callable[..., None]]] = {
    "room": ("stool", draw_stool),
    "cafe": ("stool", draw_stool),
    "street": ("bench", draw_bench),
    "field": ("log", draw_log),
    "beach": ("rock", draw_rock),
    "forest": ("log", draw_log),
    "castle": ("rock", draw_rock),
}
