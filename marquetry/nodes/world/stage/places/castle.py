"""A castle on a green hill, with a path to its gate."""

from __future__ import annotations

import random
from functools import partial

import numpy

from marquetry.nodes.world.stage.palette import LAMPLIGHT, Rgb, darker
from marquetry.nodes.world.stage.places.field import FLOWERS
from marquetry.nodes.world.stage.places.land import hills, strew
from marquetry.nodes.world.stage.places.sky import draw_sky
from marquetry.nodes.world.stage.props.houses import draw_castle
from marquetry.nodes.world.stage.props.plants import draw_blossom, draw_bush, draw_grass, draw_pine, draw_tree
from marquetry.nodes.world.stage.sketch import Brush
from marquetry.nodes.world.stage.theatre import Theatre, Thing

GROUND: tuple[Rgb, Rgb] = ((168, 204, 116), (122, 178, 88))
SNOWY: tuple[Rgb, Rgb] = ((232, 239, 248), (244, 248, 253))
STONES: tuple[Rgb, ...] = ((214, 206, 206), (226, 212, 190), (196, 200, 216))
PATH: Rgb = (228, 206, 160)
CASTLE_Z = 19.0


def dress(theatre: Theatre) -> tuple[Rgb, Rgb]:
    """Sets the scenery; returns the ground's colours, far and near."""
    chance = random.Random(theatre.scene.seed ^ 0xCA571E)
    snowy = theatre.scene.weather == "snow"
    draw_sky(theatre)
    hills(theatre, "hills", (156, 188, 190) if not snowy else (208, 220, 238), 40.0, 60.0, chance)
    _draw_path(theatre, PATH if not snowy else (226, 226, 232))
    aside = chance.uniform(-0.6, 0.6)
    castle = partial(draw_castle, colour=chance.choice(STONES), seed=chance.randrange(1000), lit=theatre.dark)
    theatre.put(Thing("castle", "scenery"), aside, CASTLE_Z, castle, foot=5.6, height=1.0)
    if theatre.dark:
        theatre.glow(theatre.camera.project(aside, 1.6, CASTLE_Z), theatre.camera.scale(0, CASTLE_Z) * 4.5, LAMPLIGHT, 0.22)
    for side in (-1.0, 1.0):
        z = chance.uniform(4.5, 7.5)
        x = side * (z + theatre.camera.back) * chance.uniform(0.30, 0.40)
        kind = chance.choice((draw_tree, draw_pine))
        green: Rgb = (104, 164, 92) if not snowy else (206, 222, 226)
        theatre.put(
            Thing("pine" if kind is draw_pine else "tree", "scenery"),
            x,
            z,
            partial(kind, colour=green, seed=chance.randrange(1000)),
            size=chance.uniform(0.7, 0.9),
            foot=0.8,
            height=2.0,
        )
        bush = partial(draw_bush, colour=darker(green, 0.08))
        theatre.put(
            Thing("bush", "scenery"), side * chance.uniform(2.0, 3.2), chance.uniform(3.0, 5.0), bush, size=0.9, foot=0.5, height=0.5
        )
    blade: Rgb = (104, 160, 76) if not snowy else (206, 218, 232)
    strew(theatre, "grass", 24, 1.6, 10.0, partial(draw_grass, colour=blade), chance)
    if not snowy:
        strew(theatre, "small flowers", 12, 1.6, 7.0, _flower, chance)
    return SNOWY if snowy else GROUND


def _flower(brush: Brush, chance: random.Random) -> None:
    draw_blossom(brush, chance, chance.choice(FLOWERS))


def _draw_path(theatre: Theatre, colour: Rgb) -> None:
    camera = theatre.camera
    front = 0.7 - camera.back
    depths = numpy.linspace(0.0, 1.0, 14) ** 2 * (CASTLE_Z - front) + front
    bend = [0.5 * numpy.sin(z / 4.0) for z in depths]
    left = [camera.project(x - 0.8, 0.0, z) for x, z in zip(bend, depths, strict=True)]
    right = [camera.project(x + 0.8, 0.0, z) for x, z in zip(bend, depths, strict=True)]
    theatre.flat(numpy.array(left + right[::-1]), colour, "path", camera.distance(0.0, 4.0), ground=True)
