"""A beach: the sea with foam along the shore, sand, shells, palms and a parasol."""

from __future__ import annotations

import random
from functools import partial

import numpy

from marquetry.nodes.world.stage.curves import arc, ellipse, ribbon, smooth
from marquetry.nodes.world.stage.palette import WHITE, Rgb, darker, lighter, mix
from marquetry.nodes.world.stage.places.land import hills, strew
from marquetry.nodes.world.stage.places.sky import draw_sky
from marquetry.nodes.world.stage.props.plants import draw_palm
from marquetry.nodes.world.stage.sketch import VIEW, Brush
from marquetry.nodes.world.stage.theatre import Theatre, Thing

SAND: tuple[Rgb, Rgb] = ((246, 224, 168), (238, 208, 146))
SEA: dict[str, tuple[Rgb, Rgb]] = {
    "day": ((62, 158, 204), (132, 212, 218)),
    "sunset": ((122, 122, 186), (222, 158, 160)),
    "night": ((46, 76, 140), (92, 134, 184)),
}
SHORE_Z = 2.6
STARFISH: tuple[Rgb, ...] = ((236, 132, 110), (244, 180, 120), (230, 140, 170))


def dress(theatre: Theatre) -> tuple[Rgb, Rgb]:
    """Sets the scenery; returns the ground's colours, far and near."""
    chance = random.Random(theatre.scene.seed ^ 0xBEAC4)
    draw_sky(theatre)
    if chance.random() < 0.6:
        hills(theatre, "island", (126, 164, 158), 22.0, 60.0, chance)
    _draw_sea(theatre, chance)
    side = chance.choice((-1.0, 1.0))
    palm = partial(draw_palm, colour=(98, 166, 92))
    theatre.put(Thing("palm", "scenery"), side * 2.3, 2.0, palm, mirrored=side > 0, foot=0.4, height=2.2)
    if chance.random() < 0.6:
        theatre.put(Thing("palm", "scenery"), side * 3.4, 2.3, palm, size=0.8, mirrored=side > 0, foot=0.4, height=2.0)
    if chance.random() < 0.7:
        cloth = chance.choice(((222, 92, 84), (78, 142, 196), (240, 178, 74), (118, 168, 112)))
        theatre.put(Thing("parasol", "scenery"), -side * 1.75, 1.5, partial(_draw_parasol, colour=cloth), foot=0.8, height=1.0)
    strew(theatre, "shells", 9, 2.0, 5.0, _draw_shell, chance)
    return SAND


def _draw_sea(theatre: Theatre, chance: random.Random) -> None:
    camera, (deep, shallow) = theatre.camera, SEA[theatre.scene.time]
    top, shore = camera.horizon, camera.project(0.0, 0.0, SHORE_Z).imag
    columns = numpy.linspace(-10.0, VIEW + 10.0, 40)
    phase = chance.random() * 6.28 + theatre.scene.drift * 40.0
    bands = 7
    for band in range(bands):
        share = band / (bands - 1)
        y = top + (shore - top) * share**1.5
        wave = numpy.sin(columns / (9.0 + 26.0 * share) + phase + band * 1.7) * (0.15 + 1.5 * share)
        edge = columns + 1j * (numpy.full_like(columns, y) + (wave if band else 0.0))
        floor = numpy.array([complex(VIEW + 10.0, shore + 3.0), complex(-10.0, shore + 3.0)])
        far = camera.ground_distance(max(y, top + 1.0))
        theatre.flat(numpy.concatenate((edge, floor)), mix(deep, shallow, share), "sea", min(far, 60.0), glows=True, ground=True)
    wave = numpy.sin(columns / 31.0 + phase) * 2.2
    foam = numpy.concatenate((columns + 1j * (shore - 1.6 + wave), (columns + 1j * (shore + 3.0 + wave * 1.3))[::-1]))
    wet = numpy.concatenate((columns + 1j * (shore + wave), (columns + 1j * (shore + 9.0 + wave * 1.6))[::-1]))
    distance = camera.distance(0.0, SHORE_Z)
    theatre.flat(wet, darker(SAND[0], 0.16), "wet sand", distance, ground=True)
    theatre.flat(foam, WHITE, "foam", distance)
    glint = {"day": (240, 250, 250), "sunset": (255, 214, 150), "night": (206, 220, 250)}[theatre.scene.time]
    for _ in range(16):
        share = chance.random()
        at = complex(chance.uniform(0, VIEW), top + 2 + (shore - top - 6) * share**1.4)
        wide = 3 + 12 * share
        theatre.flat(
            ribbon([at - wide, at - 0.4j, at + wide], [0.0, 0.5 + 1.0 * share, 0.0], 3), mix(shallow, glint, 0.7), "sea", 40.0, glows=True
        )


def _draw_parasol(brush: Brush, colour: Rgb) -> None:
    """A striped parasol with a towel below."""
    brush.fill(smooth([-0.9 + 0.02j, -0.8 + 0.14j, 0.3 + 0.14j, 0.42 + 0.02j], 3), lighter(colour, 0.4), "towel", bulk=0.0)
    brush.fill(ribbon([0.02j, 0.16 + 1.9j], [0.06, 0.05], 2), (236, 226, 214), "pole", bulk=0.03)
    middle = 0.14 + 1.62j
    whole = [complex(point) for point in arc(middle, 1.02, 0.62, 0.0, 180.0, 24)]
    scallops = [
        complex(point) for index in range(6) for point in arc(middle + complex(-0.85 + index * 0.34, 0.0), 0.17, 0.07, 180.0, 360.0, 6)
    ]
    brush.fill(whole + scallops, colour, "parasol", bulk=0.3)
    for inner, outer in ((0.34, 0.68), (-0.68, -0.34)):
        stripe = [
            middle + complex(x * scale, 0.62 * (1 - (scale * abs(x) / 1.02) ** 2 * 0.0) * (1 - scale))
            for x, scale in ((inner, 1.0), (outer, 1.0))
        ]
        top = middle + 0.62j
        brush.fill(
            [stripe[0], stripe[1], middle + complex(outer * 0.8, 0.36), top, middle + complex(inner * 0.8, 0.44)],
            lighter(colour, 0.85),
            "parasol",
            over="parasol",
            bulk=0.3,
        )
    brush.fill(ellipse(middle + 0.66j, 0.05), darker(colour, 0.3), "parasol", over="tip")


def _draw_shell(brush: Brush, chance: random.Random) -> None:
    colour = chance.choice(STARFISH)
    if chance.random() < 0.4:
        points = [complex(point) * (0.085 if index % 2 else 0.036) for index, point in enumerate(ellipse(0, 1.0, count=10))]
        brush.fill([complex(point.real, point.imag * 0.55 + 0.03) for point in points], colour, "shells", over="shells")
        return
    brush.fill([*(complex(point) for point in arc(0, 0.06, 0.05, 0.0, 180.0, 8))], lighter(colour, 0.5), "shells", over="shells")
