"""A street: houses in a row, a pavement, lamps and trees."""

from __future__ import annotations

import random
from functools import partial

import numpy

from marquetry.nodes.world.stage.curves import arc, ellipse, ribbon, round_box
from marquetry.nodes.world.stage.palette import LAMPLIGHT, Rgb, darker, lighter, mix
from marquetry.nodes.world.stage.places.sky import draw_sky
from marquetry.nodes.world.stage.props.houses import draw_town_house
from marquetry.nodes.world.stage.props.plants import draw_tree
from marquetry.nodes.world.stage.sketch import Brush
from marquetry.nodes.world.stage.theatre import Theatre, Thing

HOUSES: tuple[Rgb, ...] = (
    (240, 196, 150),
    (232, 158, 140),
    (178, 204, 196),
    (244, 222, 170),
    (196, 178, 210),
    (214, 170, 170),
    (166, 190, 216),
)
PAVING: Rgb = (206, 198, 192)
ROAD: Rgb = (136, 136, 148)
HOUSES_Z = 6.6
IRON: Rgb = (70, 76, 88)


def dress(theatre: Theatre) -> tuple[Rgb, Rgb]:
    """Sets the scenery; returns the ground's colours, far and near."""
    chance = random.Random(theatre.scene.seed ^ 0x57EE7)
    draw_sky(theatre)
    snowy = theatre.scene.weather == "snow"
    _draw_paving(theatre, mix(PAVING, (250, 252, 255), 0.75) if snowy else PAVING)
    reach = (theatre.camera.back + HOUSES_Z) * 0.45 + 2.5
    x, previous = -reach - chance.uniform(0.0, 2.0), HOUSES[0]
    while x < reach:
        colour = chance.choice([house for house in HOUSES if house != previous])
        draw = partial(
            draw_town_house,
            colour=colour,
            seed=chance.randrange(1000),
            lit=theatre.dark,
            shop=chance.random() < 0.4,
            high=chance.uniform(2.9, 4.0),
        )
        theatre.put(Thing("town house", "scenery"), x, HOUSES_Z, draw, foot=0.0)
        x, previous = x + 2.38, colour
    side = chance.choice((-1.0, 1.0))
    _put_lamp(theatre, side * 1.9, 2.2)
    _put_lamp(theatre, -side * 3.2, 4.0)
    green = chance.choice(((120, 170, 92), (196, 150, 74), (104, 158, 92)))
    tree = partial(draw_tree, colour=green if not snowy else (226, 234, 242), seed=chance.randrange(1000))
    theatre.put(Thing("tree", "scenery"), -side * 2.2, 3.4, tree, size=0.72, foot=0.7, height=1.6)
    return (PAVING, ROAD)


def _draw_paving(theatre: Theatre, colour: Rgb) -> None:
    """The pavement before the houses, its joints, the kerb, and the road in front."""
    camera = theatre.camera
    far, near, front = HOUSES_Z + 0.1, -0.75, 0.62 - camera.back
    edges = [camera.project(0.0, 0.0, z).imag for z in (far, near)]
    if near < front:
        edges[1] = 300.0
    distance = camera.distance(0.0, 2.0)
    theatre.flat(
        numpy.array([-8 + 1j * edges[0], 264 + 1j * edges[0], 264 + 1j * edges[1], -8 + 1j * edges[1]]),
        colour,
        "pavement",
        distance,
        ground=True,
    )
    joint = darker(colour, 0.12)
    for z in (0.1, 0.9, 1.8, 2.9, 4.1, 5.4):
        y = camera.project(0.0, 0.0, z).imag
        thick = 0.03 * camera.scale(0.0, z) * 0.4
        theatre.flat(
            numpy.array([-8 + 1j * y, 264 + 1j * y, 264 + 1j * (y + thick), -8 + 1j * (y + thick)]),
            joint,
            "pavement",
            distance,
            ground=True,
        )
    start = max(near, front)
    for slab in range(-9, 10):
        a, b = camera.project(slab * 0.95, 0.0, start), camera.project(slab * 0.95, 0.0, far)
        theatre.flat(
            numpy.array([a, a + 0.02 * camera.scale(0, start), b + 0.01 * camera.scale(0, far), b]),
            joint,
            "pavement",
            distance,
            ground=True,
        )
    if near > front:
        y, lower = edges[1], camera.project(0.0, -0.14, near).imag
        theatre.flat(
            numpy.array([-8 + 1j * y, 264 + 1j * y, 264 + 1j * lower, -8 + 1j * lower]),
            lighter(darker(colour, 0.2), 0.1),
            "kerb",
            distance - 2.0,
        )


def _put_lamp(theatre: Theatre, x: float, z: float) -> None:
    theatre.put(Thing("street lamp", "scenery"), x, z, partial(_draw_lamp, lit=theatre.dark), foot=0.16, height=1.6)
    if theatre.dark:
        theatre.glow(theatre.camera.project(x, 2.72, z), theatre.camera.scale(x, z) * 1.3, LAMPLIGHT, 0.75)


def _draw_lamp(brush: Brush, lit: bool) -> None:
    """A lantern on a post, 2.9 m high."""
    brush.fill(round_box(-0.12, 0.0, 0.12, 0.16, 0.03), IRON, "post", bulk=0.04)
    brush.fill(ribbon([0.1j, 2.45j], [0.085, 0.06], 2), IRON, "post", over="post", bulk=0.03)
    brush.fill(
        [-0.12 + 2.48j, 0.12 + 2.48j, 0.17 + 2.86j, -0.17 + 2.86j], LAMPLIGHT if lit else (236, 240, 236), "lantern", bulk=0.08, glows=lit
    )
    brush.fill([-0.22 + 2.86j, 0.22 + 2.86j, 3.04j], IRON, "lantern", over="roof", bulk=0.04)
    brush.fill(ellipse(3.05j, 0.04), IRON, "lantern", over="roof")
    brush.fill([*(complex(point) for point in arc(2.48j, 0.14, 0.06, 180.0, 360.0, 8))], IRON, "lantern", over="roof")
