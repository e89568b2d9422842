"""Land under the sky: hills, and what is strewn over the ground."""

from __future__ import annotations

import random
from functools import partial
from typing import Protocol

import numpy

from marquetry.nodes.world.stage.palette import Rgb
from marquetry.nodes.world.stage.sketch import VIEW, Brush
from marquetry.nodes.world.stage.theatre import Theatre, Thing


def hills(theatre: Theatre, name: str, colour: Rgb, height: float, distance: float, chance: random.Random, rough: float = 1.0) -> None:
    """A row of hills along the horizon, `height` units of the picture high."""
    columns = numpy.linspace(-12.0, VIEW + 12.0, 48)
    turned = columns / VIEW + theatre.camera.yaw * 3.0 / VIEW
    line = numpy.zeros_like(columns)
    for waves, share in ((1.1, 0.55), (2.3, 0.3), (4.1, 0.16 * rough)):
        line += share * (0.5 + 0.5 * numpy.sin(6.283 * (turned * waves + chance.random())))
    horizon = theatre.camera.horizon
    edge = columns + 1j * (horizon - height * line)
    base = [complex(VIEW + 12.0, horizon + 4.0), complex(-12.0, horizon + 4.0)]
    theatre.flat(numpy.concatenate((edge, base)), colour, name, distance)


class Small(Protocol):
    """Draws something small, each time a little differently."""

    def __call__(self, brush: Brush, chance: random.Random) -> None:
        """One of them."""


def strew(
    theatre: Theatre,
    name: str,
    count: int,
    nearest: float,
    farthest: float,
    draw: Small,
    chance: random.Random,
    seen: float = 1.1,
) -> None:
    """Small things all over the ground, without shadows: tufts, pebbles, leaves."""
    for _ in range(count):
        share = chance.random()
        distance = 1.0 / ((1 - share) / nearest + share / farthest)
        x = chance.uniform(-0.5, 0.5) * seen * VIEW / theatre.camera.focal * distance + theatre.camera.aside
        own = random.Random(chance.random())
        at = theatre.camera.project(x, 0.0, distance - theatre.camera.back)
        if not (-30.0 < at.real < VIEW + 30.0 and at.imag < VIEW + 40.0):
            continue
        theatre.put(Thing(name, "backdrop"), x, distance - theatre.camera.back, partial(draw, chance=own), foot=0.0)
