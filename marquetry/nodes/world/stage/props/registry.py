"""Every prop by its name: how it is drawn, how high it is, and what shadow it throws."""

from __future__ import annotations

from collections.abc import Callable

from marquetry.nodes.world.stage.palette import COLOURS, Rgb
from marquetry.nodes.world.stage.props import plants
from marquetry.nodes.world.stage.scene import Prop
from marquetry.nodes.world.stage.sketch import Brush
from marquetry.nodes.world.stage.theatre import Theatre, Thing

DRAWINGS: dict[str, Callable[[Brush, Rgb, int], None]] = {
    "tree": plants.draw_tree,
    "pine": plants.draw_pine,
    "palm": plants.draw_palm,
    "tulip": plants.draw_tulip,
    "daisy": plants.draw_daisy,
    "sunflower": plants.draw_sunflower,
    "rose": plants.draw_rose,
}
HEIGHTS: dict[str, float] = {"tree": 4.0, "pine": 4.35, "palm": 4.4, "tulip": 0.9, "daisy": 0.98, "sunflower": 1.44, "rose": 0.92}
FEET: dict[str, float] = {"tree": 1.0, "pine": 0.9, "palm": 0.5, "tulip": 0.14, "daisy": 0.14, "sunflower": 0.16, "rose": 0.14}


def put_prop(theatre: Theatre, prop: Prop, index: int) -> None:
    """Has a prop of the scene drawn."""
    draw, colour = DRAWINGS[prop.kind], COLOURS[prop.colour]
    theatre.put(
        Thing(prop.kind, "prop", index, prop.colour),
        prop.x,
        prop.z,
        lambda brush: draw(brush, colour, prop.seed),
        size=prop.size,
        mirrored=prop.mirrored,
        foot=FEET[prop.kind] * prop.size,
        height=HEIGHTS[prop.kind] * prop.size * 0.7,
    )


PALETTES: dict[str, tuple[str, ...]] = {
    "tree": ("green", "orange", "red", "yellow"),
    "pine": ("green",),
    "palm": ("green",),
    "tulip": ("red", "yellow", "pink", "purple", "orange", "white"),
    "daisy": ("white", "pink", "yellow"),
    "sunflower": ("yellow", "orange"),
    "rose": ("red", "pink", "white", "yellow"),
}
PLACED_IN: dict[str, tuple[str, ...]] = {"field": ("tulip", "daisy", "sunflower", "rose", "tree"), "room": ("rose", "tulip")}
