"""Heads: skull, ears and neck, with face, hair and hat on them in the right order. Units are head radii, y up."""

from __future__ import annotations

import math

import numpy

from marquetry.nodes.world.stage.curves import Points, ellipse, smooth
from marquetry.nodes.world.stage.figure.face import draw_face, spot
from marquetry.nodes.world.stage.palette import SKINS, darker, mix
from marquetry.nodes.world.stage.scene import Actor
from marquetry.nodes.world.stage.sketch import Brush

FRONT: Points = numpy.array(
    [
        1.0j,
        0.62 + 0.84j,
        0.95 + 0.34j,
        0.965 - 0.14j,
        0.80 - 0.56j,
        0.44 - 0.86j,
        -0.965j,
        -0.44 - 0.86j,
        -0.80 - 0.56j,
        -0.965 - 0.14j,
        -0.95 + 0.34j,
        -0.62 + 0.84j,
    ]
)
SIDE: Points = numpy.array(
    [
        0.06 + 1.0j,
        0.62 + 0.84j,
        0.90 + 0.36j,
        0.97 - 0.22j,
        0.86 - 0.56j,
        0.56 - 0.90j,
        0.02 - 0.90j,
        -0.36 - 0.72j,
        -0.72 - 0.42j,
        -0.97 - 0.05j,
        -0.98 + 0.36j,
        -0.62 + 0.84j,
    ]
)


def head_outline(degrees: float) -> Points:
    """The outline of a skull that is turned."""
    share = abs(math.sin(math.radians(degrees))) ** 1.3
    side = SIDE if degrees >= 0 else (-SIDE.conj())[[0, *range(11, 0, -1)]]
    return smooth(FRONT * (1.0 - share) + side * share)


def draw_skull(brush: Brush, actor: Actor, degrees: float) -> None:
    """Skull, ears and face, without hair."""
    skin = SKINS[actor.person.skin]
    near_ears = [side for side in (-1.0, 1.0) if spot(side * 90.0, 0.0, degrees).narrow > 0.25]
    for side in (-1.0, 1.0):
        if side not in near_ears and abs(degrees) < 60.0:
            _draw_ear(brush, actor, degrees, side)
    brush.fill(head_outline(degrees), skin, "face", bulk=0.9)
    if abs(degrees) < 125.0:
        draw_face(brush, actor, degrees)
    for side in near_ears:
        _draw_ear(brush, actor, degrees, side)


def _draw_ear(brush: Brush, actor: Actor, degrees: float, side: float) -> None:
    skin = SKINS[actor.person.skin]
    angle = math.radians(side * 90.0 + degrees)
    turned = abs(math.cos(angle))
    at = complex(0.985 * math.sin(angle) * (1.0 - 0.12 * turned) - 0.1 * math.sin(math.radians(degrees)) * turned, -0.13)
    brush.fill(ellipse(at, 0.13 + 0.05 * turned, 0.2), skin, "ear", over="face", bulk=0.15)
    brush.fill(ellipse(at, 0.06 + 0.03 * turned, 0.11), mix(darker(skin, 0.15), (220, 110, 100), 0.25), "ear", over="face", bulk=0.1)
