"""A forest: rows of trees into the haze, ferns, mushrooms, and light between the trunks."""

from __future__ import annotations

import random
from functools import partial

from marquetry.nodes.world.stage.curves import arc, box, ellipse, ribbon, smooth
from marquetry.nodes.world.stage.palette import WHITE, Rgb, darker, lighter, mix
from marquetry.nodes.world.stage.places.land import hills, strew
from marquetry.nodes.world.stage.places.sky import draw_sky
from marquetry.nodes.world.stage.props.plants import TRUNK, draw_bush, draw_grass, draw_pine, draw_tree
from marquetry.nodes.world.stage.sketch import VIEW, Brush
from marquetry.nodes.world.stage.theatre import Theatre, Thing

GROUND: tuple[Rgb, Rgb] = ((126, 166, 96), (98, 142, 78))
SNOWY: tuple[Rgb, Rgb] = ((226, 234, 242), (242, 246, 252))
GREENS: tuple[Rgb, ...] = ((86, 146, 92), (70, 130, 88), (104, 156, 84), (62, 122, 96))
SNOW_GREENS: tuple[Rgb, ...] = ((178, 204, 204), (164, 194, 196), (196, 214, 212))


def dress(theatre: Theatre) -> tuple[Rgb, Rgb]:
    """Sets the scenery; returns the ground's colours, far and near."""
    chance = random.Random(theatre.scene.seed ^ 0xF0235)
    snowy = theatre.scene.weather == "snow"
    draw_sky(theatre)
    hills(theatre, "far trees", mix((120, 166, 142), (226, 234, 242), 0.5 if snowy else 0.0), 70.0, 40.0, chance, rough=4.0)
    _draw_far_trunks(theatre, chance, snowy)
    greens = SNOW_GREENS if snowy else GREENS
    for z, count in ((10.0, 5), (7.0, 4), (4.6, 2)):
        reach = (z + theatre.camera.back) * 0.40
        for index in range(count):
            x = -reach + 2 * reach * (index + 0.5) / count + chance.uniform(-0.5, 0.5)
            if abs(x) < 0.16 * (z + theatre.camera.back) and z < 6.5:
                x += 1.1 if x >= 0 else -1.1
            kind = draw_pine if chance.random() < 0.55 else draw_tree
            draw = partial(kind, colour=chance.choice(greens), seed=chance.randrange(1000))
            theatre.put(
                Thing("pine" if kind is draw_pine else "tree", "scenery"),
                x,
                z + chance.uniform(-0.4, 0.4),
                draw,
                size=chance.uniform(0.95, 1.3),
                foot=0.9,
                height=1.5,
            )
    for _ in range(3):
        x, z = chance.choice((-1.0, 1.0)) * chance.uniform(1.0, 2.4), chance.uniform(1.4, 3.0)
        draw = (
            partial(draw_bush, colour=chance.choice(greens)) if chance.random() < 0.5 else partial(_draw_fern, colour=chance.choice(greens))
        )
        theatre.put(Thing("bush", "scenery"), x, z, draw, size=chance.uniform(0.7, 1.0), foot=0.4, height=0.4)
    for _ in range(2):
        x = chance.choice((-1.0, 1.0)) * chance.uniform(0.7, 1.5)
        theatre.put(
            Thing("mushroom", "scenery"), x, chance.uniform(0.4, 1.6), _draw_mushroom, size=chance.uniform(0.8, 1.2), foot=0.12, height=0.2
        )
    blade: Rgb = (86, 138, 72) if not snowy else (202, 214, 228)
    strew(theatre, "grass", 22, 1.6, 8.0, partial(draw_grass, colour=blade), chance)
    return SNOWY if snowy else GROUND


def _draw_far_trunks(theatre: Theatre, chance: random.Random, snowy: bool) -> None:
    """Pale trunks in the distance."""
    horizon = theatre.camera.horizon
    for _ in range(16):
        x, wide = chance.uniform(0, VIEW), chance.uniform(2.0, 4.5)
        shade = mix((120, 150, 130), TRUNK, chance.uniform(0.1, 0.4))
        theatre.flat(
            box(x, horizon - chance.uniform(46, 90), x + wide, horizon + 3), mix(shade, WHITE, 0.3 if snowy else 0.0), "far trees", 30.0
        )


def _draw_fern(brush: Brush, colour: Rgb) -> None:
    for lean in (-1.0, -0.55, 0.0, 0.55, 1.0):
        tip = complex(lean * 0.55, 0.62 - abs(lean) * 0.22)
        middle = complex(lean * 0.22, 0.42)
        brush.fill(
            ribbon([0j, middle, tip], [0.03, 0.15, 0.0]),
            lighter(colour, 0.15) if lean in (-0.55, 0.55) else colour,
            "leaves",
            over=f"leaf {lean}",
            bulk=0.05,
        )


def _draw_mushroom(brush: Brush) -> None:
    """A red mushroom with white spots."""
    brush.fill(smooth([-0.07, -0.055 + 0.2j, 0.055 + 0.2j, 0.07], 4), (248, 240, 226), "mushroom", over="stalk", bulk=0.06)
    brush.fill(
        [
            *(complex(point) for point in arc(0.17j, 0.2, 0.2, 0.0, 180.0, 14)),
            *(complex(point) for point in arc(0.17j, 0.2, 0.04, 180.0, 360.0, 8)),
        ],
        (216, 78, 68),
        "mushroom",
        bulk=0.12,
    )
    for at, radius in ((-0.09 + 0.25j, 0.035), (0.03 + 0.3j, 0.04), (0.12 + 0.22j, 0.028)):
        brush.fill(ellipse(at, radius, radius * 0.8), (255, 246, 232), "mushroom", over="mushroom", bulk=0.12)
    brush.fill(ellipse(0.1 + 0.02j, 0.02, 0.02), darker((98, 142, 78), 0.2), "mushroom", over="mushroom")
