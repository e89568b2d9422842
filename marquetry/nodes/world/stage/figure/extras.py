"""Hats, glasses and bags. Hats and glasses count in head radii, bags in body heights."""

from __future__ import annotations

import math

import numpy

from marquetry.nodes.world.stage.curves import arc, box, ellipse, ribbon, round_box, smooth
from marquetry.nodes.world.stage.figure.face import EYE_DEGREES, EYE_Y, spot
from marquetry.nodes.world.stage.figure.hair import on_globe
from marquetry.nodes.world.stage.figure.skeleton import Skeleton
from marquetry.nodes.world.stage.figure.torso import Trunk
from marquetry.nodes.world.stage.palette import COLOURS, INK, WHITE, Rgb, darker, lighter, mix
from marquetry.nodes.world.stage.scene import Garment
from marquetry.nodes.world.stage.sketch import Brush

STRAW: Rgb = (240, 214, 150)
GOLD: Rgb = (250, 206, 84)


def draw_hat(brush: Brush, hat: Garment, degrees: float) -> None:
    """A hat on the hair."""
    _HATS[hat.kind](brush, COLOURS[hat.colour], degrees)


def _dome(low: float, wide: float, high: float) -> numpy.ndarray[tuple[int], numpy.dtype[numpy.complex128]]:
    return numpy.concatenate((arc(complex(0, low), wide, high, 0.0, 180.0, 16), arc(complex(0, low), wide, 0.12, 180.0, 360.0, 10)))


def _draw_cap(brush: Brush, colour: Rgb, degrees: float) -> None:
    forward = math.sin(math.radians(degrees))
    facing = math.cos(math.radians(degrees))
    if facing < -0.2:
        _draw_brim(brush, colour, forward, facing)
    brush.fill(_dome(0.34, 1.14, 0.86), colour, "hat", bulk=0.5)
    brush.fill(ellipse(complex(0, 1.19), 0.09, 0.06), darker(colour, 0.2), "hat", over="hat")
    if facing >= -0.2:
        _draw_brim(brush, colour, forward, facing)


def _draw_brim(brush: Brush, colour: Rgb, forward: float, facing: float) -> None:
    at = complex(0.98 * forward, 0.33 - 0.05 * facing)
    brush.fill(ellipse(at, 0.34 + 0.52 * abs(facing), 0.10 + 0.09 * abs(facing)), darker(colour, 0.18), "hat", over="brim", bulk=0.2)


def _draw_beanie(brush: Brush, colour: Rgb, degrees: float) -> None:
    brush.fill(ellipse(1.36j, 0.24, 0.23), lighter(colour, 0.6), "hat", over="pompom", bulk=0.2)
    brush.fill(_dome(0.36, 1.15, 0.92), colour, "hat", bulk=0.5)
    band = numpy.concatenate((arc(0.52j, 1.17, 0.10, 180.0, 360.0, 12), arc(0.26j, 1.15, 0.12, 360.0, 180.0, 12)))
    brush.fill(band, darker(colour, 0.2), "hat", over="hat band", bulk=0.5)


def _draw_sun_hat(brush: Brush, colour: Rgb, degrees: float) -> None:
    brush.fill(ellipse(0.42j, 1.72, 0.36), darker(STRAW, 0.08), "hat", over="brim", bulk=0.3)
    brush.fill(_dome(0.46, 1.02, 0.86), STRAW, "hat", bulk=0.5)
    band = numpy.concatenate((arc(0.70j, 1.01, 0.12, 180.0, 360.0, 12), arc(0.46j, 1.03, 0.13, 360.0, 180.0, 12)))
    brush.fill(band, colour, "hat band", over="hat", bulk=0.5)


def _draw_witch_hat(brush: Brush, colour: Rgb, degrees: float) -> None:
    lean = 0.35 * (1.0 if degrees <= 0 else -1.0)
    brush.fill(ellipse(0.48j, 1.62, 0.30), darker(colour, 0.22), "hat", over="brim", bulk=0.3)
    tip = complex(lean, 2.15)
    cone = [
        complex(-0.94, 0.52),
        complex(-0.94, 0.52),
        complex(-0.48 + lean * 0.1, 1.25),
        tip,
        tip,
        complex(0.44 + lean * 0.2, 1.25),
        complex(0.94, 0.52),
        complex(0.94, 0.52),
        0.42j,
    ]
    brush.fill(smooth(cone), colour, "hat", bulk=0.5)
    band = numpy.concatenate((arc(0.78j, 0.82, 0.12, 180.0, 360.0, 12), arc(0.56j, 0.93, 0.13, 360.0, 180.0, 12)))
    brush.fill(band, GOLD, "hat band", over="hat", bulk=0.5)


def _draw_crown(brush: Brush, colour: Rgb, degrees: float) -> None:
    tops = [complex(x, y) for x, y in ((-0.66, 1.5), (-0.4, 1.16), (0.0, 1.58), (0.4, 1.16), (0.66, 1.5))]
    brush.fill([complex(-0.58, 0.84), *tops, complex(0.58, 0.84), 0.74j], GOLD, "hat", bulk=0.3)
    for at in (complex(-0.3, 0.96), 0.94j, complex(0.3, 0.96)):
        brush.fill(ellipse(at, 0.095, 0.11), colour, "hat band", over="hat")


def _draw_bow(brush: Brush, colour: Rgb, degrees: float) -> None:
    at, near = on_globe(38.0, 58.0, degrees, 1.12)
    if near < -0.75:
        return
    brush.fill(smooth([at, at, at + complex(-0.5, 0.3), at + complex(-0.55, -0.12)]), colour, "hat", bulk=0.2)
    brush.fill(smooth([at, at, at + complex(0.5, 0.3), at + complex(0.55, -0.12)]), colour, "hat", bulk=0.2)
    brush.fill(ellipse(at, 0.14, 0.14), darker(colour, 0.2), "hat", over="hat")


_HATS = {
    "cap": _draw_cap,
    "beanie": _draw_beanie,
    "sun hat": _draw_sun_hat,
    "witch hat": _draw_witch_hat,
    "crown": _draw_crown,
    "bow": _draw_bow,
}


def draw_glasses(brush: Brush, glasses: Garment, degrees: float) -> None:
    """Glasses before the eyes that are seen."""
    frame = mix(COLOURS[glasses.colour], INK, 0.25)
    rims = []
    for side in (-1.0, 1.0):
        place = spot(side * EYE_DEGREES, EYE_Y, degrees)
        if not place.seen:
            continue
        wide, tall = 0.31 * (0.3 + 0.7 * place.narrow), 0.28
        rims.append((place.at, wide))
        if glasses.kind == "sunglasses":
            brush.fill(ellipse(place.at, wide * 1.08, tall * 1.12), frame, "glasses", over="face")
            brush.fill(
                ellipse(place.at + complex(-wide * 0.3, tall * 0.3), wide * 0.4, tall * 0.22, 20.0),
                lighter(frame, 0.35),
                "glasses",
                over="face",
            )
            continue
        x, y = place.at.real, place.at.imag
        outer = (
            ellipse(place.at, wide, tall)
            if glasses.kind == "round glasses"
            else round_box(x - wide, y - tall * 0.85, x + wide, y + tall * 0.85, 0.08)
        )
        closed = numpy.append(outer, outer[:1])
        brush.fill(numpy.concatenate((closed, (closed - place.at)[::-1] * 0.80 + place.at)), frame, "glasses", over="face")
    if len(rims) == 2:
        (left, left_wide), (right, right_wide) = rims
        brush.fill(
            ribbon([left + left_wide, (left + right) / 2 + 0.05j, right - right_wide], [0.05, 0.05, 0.05], 3), frame, "glasses", over="face"
        )
    if abs(degrees) > 20.0 and rims:
        at, wide = max(rims, key=lambda rim: rim[1])
        ear, _ = on_globe(-math.copysign(88.0, degrees), 0.0, degrees)
        edge = at - math.copysign(wide, degrees)
        brush.fill(ribbon([edge, ear], [0.05, 0.05], 2), frame, "glasses", over="face")


def draw_backpack(brush: Brush, bag: Garment, skeleton: Skeleton, trunk: Trunk) -> None:
    """The bag itself, on the back."""
    colour = COLOURS[bag.colour]
    at, _ = trunk.at(180.0, 0.52)
    turn = abs(math.cos(math.radians(skeleton.degrees)))
    away = -math.sin(math.radians(skeleton.degrees)) * 0.05
    wide, tall = 0.062 + 0.052 * turn, 0.125
    x, y = at.real + away, at.imag
    brush.fill(round_box(x - wide, y - tall, x + wide, y + tall, 0.05), colour, "bag", bulk=0.08)
    brush.fill(
        round_box(x - wide * 0.72, y - tall * 0.8, x + wide * 0.72, y - tall * 0.05, 0.03),
        darker(colour, 0.16),
        "bag",
        over="bag",
        bulk=0.08,
    )
    brush.fill(round_box(x - wide, y + tall * 0.30, x + wide, y + tall * 0.42, 0.01), darker(colour, 0.28), "bag", over="bag", bulk=0.08)


def draw_straps(brush: Brush, bag: Garment, skeleton: Skeleton, trunk: Trunk) -> None:
    """The straps of a backpack, as seen from the front."""
    for around in (-46.0, 46.0):
        strap = trunk.strip(around, 8.0, 0.36, 0.94)
        if strap is not None:
            brush.fill(strap, darker(COLOURS[bag.colour], 0.12), "bag", over="strap", bulk=0.03)


def draw_handbag(brush: Brush, bag: Garment, skeleton: Skeleton) -> None:
    """A bag that hangs from the left hand."""
    colour = COLOURS[bag.colour]
    hand = skeleton.flat("left_wrist")
    x, y = hand.real, hand.imag - 0.075
    handle = arc(complex(x, y), 0.036, 0.07, 0.0, 180.0, 12)
    brush.fill(ribbon(list(handle[::3]), [0.014] * 4, 3), darker(colour, 0.3), "bag", over="strap", bulk=0.02)
    body = [complex(x - 0.05, y), complex(x + 0.05, y), complex(x + 0.066, y - 0.085), complex(x - 0.066, y - 0.085)]
    brush.fill(body, colour, "bag", bulk=0.06)
    brush.fill(
        [complex(x - 0.052, y), complex(x + 0.052, y), complex(x + 0.03, y - 0.035), complex(x - 0.03, y - 0.035)],
        darker(colour, 0.18),
        "bag",
        over="bag",
        bulk=0.06,
    )
    brush.fill(box(x - 0.009, y - 0.045, x + 0.009, y - 0.027), mix(GOLD, WHITE, 0.2), "bag", over="bag", bulk=0.06)
