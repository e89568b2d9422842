"""Every prop by its name: how it is drawn, how large it is, what colours it comes in, and where it may be met."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from marquetry.nodes.world.stage.palette import COLOURS, LAMPLIGHT
from marquetry.nodes.world.stage.props import animals, beasts, furniture, houses, plants, vehicles
from marquetry.nodes.world.stage.scene import Prop
from marquetry.nodes.world.stage.sketch import Brush
from marquetry.nodes.world.stage.theatre import Theatre, Thing


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of prop. `unit` is the length in metres of one unit of its drawing; `height`, `foot` and `above` are in metres.

    `light` is where a lamp in it shines from; what has one is drawn with `lit` at night.
    """

    draw: Callable[..., None]
    height: float
    foot: float
    colours: tuple[str, ...]
    places: tuple[str, ...]
    unit: float = 1.0
    above: float = 0.0
    light: complex | None = None
    lights_up: bool = False
    width: float = 0.0  # where it is more than the height


OUT = ("street", "field", "beach", "forest", "castle")
GREEN = ("field", "forest", "castle")
IN = ("room", "cafe")
KINDS: dict[str, Kind] = {
    "cat": Kind(animals.draw_cat, 0.58, 0.22, ("orange", "black", "white", "grey", "brown"), (*IN, "street", "field", "castle"), 0.58),
    "dog": Kind(animals.draw_dog, 0.70, 0.26, ("brown", "white", "black", "orange", "grey"), (*IN, *OUT), 0.70),
    "rabbit": Kind(animals.draw_rabbit, 0.56, 0.20, ("white", "brown", "grey", "pink"), ("room", *GREEN), 0.56),
    "fox": Kind(animals.draw_fox, 0.68, 0.26, ("orange", "red", "white", "grey"), GREEN, 0.68),
    "bear": Kind(animals.draw_bear, 1.15, 0.42, ("brown", "white", "black"), ("forest", "field"), 1.15),
    "bird": Kind(beasts.draw_bird, 0.42, 0.14, ("blue", "red", "yellow", "green", "pink"), OUT, 0.42),
    "duck": Kind(beasts.draw_duck, 0.52, 0.18, ("yellow", "white", "brown", "green"), ("field", "beach", "castle", "street"), 0.52),
    "sheep": Kind(beasts.draw_sheep, 0.90, 0.45, ("white", "black", "pink", "grey"), ("field", "castle"), 0.90, width=1.2),
    "horse": Kind(beasts.draw_horse, 1.65, 0.70, ("brown", "white", "black", "grey", "orange"), ("field", "castle", "beach"), 1.65, width=2.1),
    "frog": Kind(beasts.draw_frog, 0.40, 0.24, ("green", "yellow", "blue", "red"), ("field", "forest", "castle"), 0.42, width=0.6),
    "car": Kind(vehicles.draw_car, 1.28, 1.2, ("red", "yellow", "blue", "green", "white", "pink", "orange"), ("street", "beach", "field"), width=2.7),
    "bus": Kind(vehicles.draw_bus, 2.12, 1.9, ("red", "yellow", "blue", "green", "orange"), ("street",), width=4.4),
    "bicycle": Kind(vehicles.draw_bicycle, 1.0, 0.55, ("red", "yellow", "blue", "green", "pink", "black"), ("street", "field", "beach", "castle"), width=1.9),
    "boat": Kind(vehicles.draw_boat, 3.05, 0.0, ("red", "yellow", "blue", "green", "orange", "purple"), ("beach",), width=2.9),
    "balloon": Kind(vehicles.draw_balloon, 3.0, 0.0, ("red", "yellow", "blue", "green", "orange", "purple", "pink"), ("field", "castle", "beach"), 1.0, 2.1, 0.72j, width=2.2),
    "chair": Kind(furniture.draw_chair, 0.98, 0.30, ("red", "yellow", "blue", "green", "white", "brown"), IN),
    "table": Kind(furniture.draw_table, 0.84, 0.42, ("brown", "white", "red", "blue", "green"), IN, width=1.3),
    "sofa": Kind(furniture.draw_sofa, 0.98, 0.9, ("red", "yellow", "blue", "green", "pink", "purple", "grey"), ("room",), width=2.0),
    "lamp": Kind(furniture.draw_lamp, 1.6, 0.2, ("red", "yellow", "blue", "green", "white", "orange"), ("room",), 1.0, 0.0, 1.4j, True),
    "bookshelf": Kind(furniture.draw_bookshelf, 1.6, 0.5, ("brown", "white", "blue", "green", "red"), ("room",)),
    "house": Kind(houses.draw_house, 3.56, 1.7, ("red", "yellow", "blue", "white", "pink", "orange", "green"), ("field", "forest", "beach"), 1.0, 0.0, None, True, width=3.9),
    "tree": Kind(plants.draw_tree, 4.0, 1.0, ("green", "orange", "red", "yellow", "pink"), ("field", "castle", "street"), width=3.2),
    "pine": Kind(plants.draw_pine, 4.35, 0.9, ("green", "blue"), ("forest", "field")),
    "palm": Kind(plants.draw_palm, 4.4, 0.5, ("green",), ("beach",), width=3.2),
    "tulip": Kind(plants.draw_tulip, 0.90, 0.14, ("red", "yellow", "pink", "purple", "orange", "white"), GREEN),
    "daisy": Kind(plants.draw_daisy, 0.98, 0.14, ("white", "pink", "yellow", "blue"), GREEN),
    "sunflower": Kind(plants.draw_sunflower, 1.44, 0.16, ("yellow", "orange"), GREEN),
    "rose": Kind(plants.draw_rose, 0.92, 0.14, ("red", "pink", "white", "yellow"), GREEN),
}  # fmt: skip
PLACED_IN: dict[str, tuple[str, ...]] = {
    place: tuple(name for name, kind in KINDS.items() if place in kind.places) for place in (*IN, *OUT)
}


def put_prop(theatre: Theatre, prop: Prop, index: int) -> None:
    """Has a prop of the scene drawn."""
    kind, colour = KINDS[prop.kind], COLOURS[prop.colour]
    draw: Callable[[Brush], None] = partial(kind.draw, colour=colour, seed=prop.seed)
    if kind.lights_up:
        draw = partial(kind.draw, colour=colour, seed=prop.seed, lit=theatre.dark)
    size = kind.unit * prop.size
    theatre.put(
        Thing(prop.kind, "prop", index, prop.colour),
        prop.x,
        prop.z,
        draw,
        y=kind.above,
        size=size,
        mirrored=prop.mirrored,
        foot=kind.foot * prop.size,
        height=kind.height * prop.size * 0.7,
    )
    if kind.light is not None and (theatre.dark or kind.above):
        _shine(theatre, prop, kind, size)


def _shine(theatre: Theatre, prop: Prop, kind: Kind, size: float) -> None:
    assert kind.light is not None
    at = theatre.camera.project(prop.x, kind.above + kind.light.imag * size, prop.z)
    theatre.glow(at, theatre.camera.scale(prop.x, prop.z) * size * 0.9, LAMPLIGHT, 0.6 if theatre.dark else 0.2)
