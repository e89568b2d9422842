"""A meadow under hills."""

from __future__ import annotations

import random
from functools import partial

from marquetry.nodes.world.stage.palette import Rgb
from marquetry.nodes.world.stage.places.land import hills, strew
from marquetry.nodes.world.stage.places.sky import draw_sky
from marquetry.nodes.world.stage.props.plants import draw_blossom, draw_bush, draw_grass, draw_tree
from marquetry.nodes.world.stage.sketch import Brush
from marquetry.nodes.world.stage.theatre import Theatre, Thing

GROUND: tuple[Rgb, Rgb] = ((182, 214, 122), (126, 186, 88))
SNOWY: tuple[Rgb, Rgb] = ((236, 242, 250), (246, 249, 253))
FLOWERS: tuple[Rgb, ...] = ((255, 255, 250), (250, 214, 96), (244, 150, 180), (196, 150, 226))
GREENS: tuple[Rgb, ...] = ((112, 172, 88), (92, 158, 92), (140, 184, 92))


def dress(theatre: Theatre) -> tuple[Rgb, Rgb]:
    """Sets the scenery; returns the ground's colours, far and near."""
    chance = random.Random(theatre.scene.seed ^ 0xF1E1D)
    snowy = theatre.scene.weather == "snow"
    draw_sky(theatre)
    hills(theatre, "hills", (150, 190, 178) if not snowy else (206, 220, 238), 44.0, 60.0, chance)
    hills(theatre, "hills", (142, 196, 122) if not snowy else (224, 233, 246), 26.0, 30.0, chance)
    for _ in range(chance.randint(3, 5)):
        side = chance.choice((-1.0, 1.0))
        z = chance.uniform(5.0, 14.0)
        x = side * chance.uniform(0.22, 0.46) * (z + theatre.camera.back) * 0.73 + chance.uniform(-0.4, 0.4)
        green, seed = chance.choice(GREENS), chance.randrange(1000)
        if chance.random() < 0.6:
            draw, size = partial(draw_tree, colour=green, seed=seed), chance.uniform(0.8, 1.15)
            theatre.put(Thing("tree", "scenery"), x, z, draw, size=size, foot=1.0, height=2.5)
        else:
            draw, size = partial(draw_bush, colour=green), chance.uniform(0.8, 1.3)
            theatre.put(Thing("bush", "scenery"), x, z, draw, size=size, foot=0.6, height=0.6)
    blade: Rgb = (104, 164, 76) if not snowy else (206, 218, 232)
    strew(theatre, "grass", 30, 1.6, 12.0, partial(draw_grass, colour=blade), chance)
    if not snowy:
        strew(theatre, "small flowers", 16, 1.6, 8.0, _flower, chance)
    return SNOWY if snowy else GROUND


def _flower(brush: Brush, chance: random.Random) -> None:
    draw_blossom(brush, chance, chance.choice(FLOWERS))
