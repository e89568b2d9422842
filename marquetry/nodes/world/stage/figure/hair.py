"""Hair: a cap that covers the globe of the head above a hairline, a curtain that hangs from its back, and what is tied up.

The hairline is a height for each angle around the head, so one hairstyle is right from every side. Units are head radii.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy
from numpy.typing import NDArray

from marquetry.nodes.world.stage.curves import Points, arc, ellipse, ribbon, smooth, wavy
from marquetry.nodes.world.stage.palette import HAIR, Rgb, darker, lighter
from marquetry.nodes.world.stage.sketch import Brush

Floats = NDArray[numpy.float64]
Hairline = Callable[[Floats], Floats]  # degrees from the middle of the face to degrees above the equator


@dataclass(frozen=True, slots=True)
class HairStyle:
    """`curtain` is how far down hair hangs at the back, `thick` how far it stands off, `tied` what is drawn beside."""

    hairline: Hairline
    thick: float = 0.12
    curtain: float = 0.0
    sides: float = 1.06
    tied: str = ""
    edge: str = "smooth"


def _blend(degrees: Floats, front: float, temple: float, ear: float, back: float) -> Floats:
    return numpy.interp(numpy.abs(degrees), [0.0, 52.0, 80.0, 95.0, 118.0, 180.0], [front, temple, (temple + ear) / 2, ear, back, back])


def fringe(degrees: Floats) -> Floats:
    """A straight fringe with small locks."""
    line = _blend(degrees, 20.0, 17.0, -26.0, -44.0)
    return line + numpy.where(numpy.abs(degrees) < 52.0, 5.0 * numpy.abs(((degrees + 200.0) / 17.0) % 1.0 - 0.5) - 1.0, 0.0)


def parted(degrees: Floats) -> Floats:
    """A parting at the side, swept over the brow."""
    return numpy.interp(
        degrees,
        [-180.0, -118.0, -95.0, -62.0, -20.0, 4.0, 54.0, 92.0, 118.0, 180.0],
        [-44.0, -42.0, -12.0, 18.0, 44.0, 30.0, 17.0, -12.0, -42.0, -44.0],
    )


def open_middle(degrees: Floats) -> Floats:
    """A parting in the middle, falling beside the face."""
    return numpy.interp(numpy.abs(degrees), [0.0, 18.0, 48.0, 76.0, 92.0, 112.0, 180.0], [52.0, 34.0, 16.0, -10.0, -34.0, -46.0, -46.0])


def cropped(degrees: Floats) -> Floats:
    """Short hair with a tousled brow."""
    line = _blend(degrees, 24.0, 24.0, -4.0, -32.0)
    return line + numpy.where(numpy.abs(degrees) < 60.0, 10.0 * (((degrees + 212.0) / 24.0) % 1.0) - 4.0, 0.0)


def high(degrees: Floats) -> Floats:
    """Hair drawn back from the brow."""
    return _blend(degrees, 34.0, 28.0, 4.0, -38.0)


STYLES: dict[str, HairStyle] = {
    "short": HairStyle(cropped, 0.11),
    "spiky": HairStyle(cropped, 0.10, edge="spikes"),
    "curly": HairStyle(high, 0.26, edge="curls"),
    "bob": HairStyle(fringe, 0.13, curtain=-0.86, sides=1.14),
    "long": HairStyle(open_middle, 0.12, curtain=-2.15, sides=1.12),
    "ponytail": HairStyle(parted, 0.09, tied="ponytail"),
    "bun": HairStyle(high, 0.08, tied="bun"),
    "pigtails": HairStyle(fringe, 0.09, tied="pigtails"),
    "braids": HairStyle(open_middle, 0.09, tied="braids"),
}


def on_globe(degrees: float, elevation: float, head_degrees: float, radius: float = 1.0) -> tuple[complex, float]:
    """Where a point of the head is seen, and how far it lies towards us."""
    angle, up = math.radians(degrees + head_degrees), math.radians(elevation)
    return complex(radius * math.cos(up) * math.sin(angle), radius * math.sin(up)), radius * math.cos(up) * math.cos(angle)


def draw_hair_behind(brush: Brush, style_name: str, colour_name: str, degrees: float) -> None:
    """What is seen behind head and body."""
    style, colour = STYLES[style_name], HAIR[colour_name]
    if math.cos(math.radians(degrees)) >= 0.3:
        _draw_curtain(brush, style, darker(colour, 0.16), degrees)
    _draw_tied(brush, style, colour, degrees, before=False)
    if style.edge == "curls":
        brush.fill(_curls(1.28), darker(colour, 0.10), "hair", bulk=0.5)


def draw_hair(brush: Brush, style_name: str, colour_name: str, degrees: float) -> None:
    """What lies over the head."""
    style, colour = STYLES[style_name], HAIR[colour_name]
    if math.cos(math.radians(degrees)) < 0.3:
        _draw_curtain(brush, style, colour, degrees)
    _draw_cap(brush, style, colour, degrees)
    _draw_tied(brush, style, colour, degrees, before=True)


def _draw_cap(brush: Brush, style: HairStyle, colour: Rgb, degrees: float) -> None:
    around = numpy.linspace(-90.0, 90.0, 41)
    heights = style.hairline((around - degrees + 180.0) % 360.0 - 180.0)
    angle, up = numpy.radians(around), numpy.radians(heights)
    line = numpy.cos(up) * numpy.sin(angle) + 1j * numpy.sin(up)
    line *= 1.0 + 0.04 * numpy.abs(numpy.sin(angle))
    start, end = float(heights[-1]), float(180.0 - heights[0])
    over = arc(0.01j, 1.0 + style.thick * 0.72, 1.0 + style.thick, start, end, 26)
    if style.edge == "spikes":
        over = _spiked(over)
    elif style.edge == "curls":
        over = _curled(over)
    brush.fill(numpy.concatenate((line, over)), colour, "hair", bulk=0.5)
    _draw_strands(brush, style, colour, degrees)
    _draw_shine(brush, style, colour, degrees)


def _spiked(over: Points) -> Points:
    sharp = over.copy()
    sharp[1:-1:2] *= 1.17
    sharp[2:-2:2] *= 0.97
    return sharp


def _curled(over: Points) -> Points:
    corners = over[::3]
    return numpy.concatenate([wavy(complex(a), complex(b), 1, -0.13) for a, b in pairwise(corners)])


def _curls(radius: float) -> Points:
    corners = arc(-0.02j, radius * 0.98, radius * 0.96, -60.0, 240.0, 15)
    bumps = [wavy(complex(a), complex(b), 1, -0.12) for a, b in pairwise(corners)]
    return numpy.concatenate(bumps)


def _draw_strands(brush: Brush, style: HairStyle, colour: Rgb, degrees: float) -> None:
    shade = darker(colour, 0.2)
    for azimuth in (-132.0, -78.0, -24.0, 24.0, 78.0, 132.0, 180.0):
        low = float(style.hairline(numpy.array([azimuth]))[0])
        path = [
            on_globe(azimuth * share, low + (78.0 - low) * rise, degrees, 1.03) for share, rise in ((1.0, 0.06), (0.97, 0.30), (0.85, 0.58))
        ]
        if path[0][1] > 0.05:
            brush.fill(ribbon([point for point, _ in path], [0.05, 0.04, 0.0]), shade, "hair", over="hair", bulk=0.5)


def _draw_shine(brush: Brush, style: HairStyle, colour: Rgb, degrees: float) -> None:
    band = [(-46.0, 50.0), (-30.0, 56.0), (-12.0, 58.0), (4.0, 55.0)]
    points = [on_globe(azimuth, up, 0.0, 1.04)[0] for azimuth, up in band]
    brush.fill(ribbon(points, [0.0, 0.10, 0.09, 0.0]), lighter(colour, 0.42), "hair", over="hair", bulk=0.5)


def _draw_curtain(brush: Brush, style: HairStyle, colour: Rgb, degrees: float) -> None:
    if not style.curtain:
        return
    seen = [math.sin(math.radians(azimuth + degrees)) for azimuth in range(92, 269, 8)]
    left, right = min(seen) * style.sides, max(seen) * style.sides
    bottom = style.curtain
    flare = 0.06 * (1.0 + bottom)
    width = right - left
    tips = [
        complex(right + flare - width * share, bottom - (0.10 if index % 2 else 0.0))
        for index, share in enumerate((0.0, 0.2, 0.4, 0.6, 0.8, 1.0))
    ]
    tips[-1] = complex(left - flare, bottom)
    outline = [
        complex(left * 0.70, 0.72),
        complex(left * 0.97, 0.2),
        *reversed(tips),
        complex(right * 0.97, 0.2),
        complex(right * 0.70, 0.72),
    ]
    brush.fill(smooth(outline), colour, "hair", bulk=0.5)
    if width > 0.9:
        for share in (0.25, 0.5, 0.75):
            x = left + width * share
            brush.fill(
                ribbon([complex(x, bottom + 0.12), complex(x * 0.96, bottom * 0.4)], [0.05, 0.0]),
                darker(colour, 0.18),
                "hair",
                over="hair",
                bulk=0.5,
            )


def _draw_tied(brush: Brush, style: HairStyle, colour: Rgb, degrees: float, before: bool) -> None:
    if style.tied:
        _TIED[style.tied](brush, colour, degrees, before)


def _draw_ponytail(brush: Brush, colour: Rgb, degrees: float, before: bool) -> None:
    root, near = on_globe(180.0, 38.0, degrees, 1.05)
    if (near > -0.2) != before:
        return
    away = -math.sin(math.radians(degrees))
    path = [root, root + complex(0.42 * away, 0.24), root + complex(0.72 * away + 0.10, -0.45), root + complex(0.62 * away + 0.05, -1.45)]
    brush.fill(ribbon(path, [0.22, 0.52, 0.50, 0.06]), colour, "hair", bulk=0.3)
    brush.fill(ellipse(root + complex(0.08 * away, 0.04), 0.15, 0.15), (206, 72, 84), "hair tie", bulk=0.1)


def _draw_bun(brush: Brush, colour: Rgb, degrees: float, before: bool) -> None:
    root, near = on_globe(180.0, 62.0, degrees, 1.28)
    if (near > -0.2) == before:
        brush.fill(ellipse(root, 0.42, 0.38), colour if before else darker(colour, 0.08), "hair", bulk=0.35)
        brush.fill(ribbon([root - 0.22, root + 0.18j, root + 0.24], [0.0, 0.06, 0.0]), darker(colour, 0.22), "hair", over="hair")


def _draw_pigtails(brush: Brush, colour: Rgb, degrees: float, before: bool) -> None:
    for side in (-1.0, 1.0):
        root, near = on_globe(side * 108.0, 12.0, degrees, 1.10)
        if (near > -0.1) != before:
            continue
        out = math.copysign(1.0, root.real) * min(1.0, abs(root.real) * 1.4)
        path = [root, root + complex(0.38 * out, 0.06), root + complex(0.56 * out, -0.55), root + complex(0.40 * out, -1.15)]
        brush.fill(ribbon(path, [0.24, 0.48, 0.46, 0.05]), colour, "hair", bulk=0.3)
        brush.fill(ellipse(root + 0.06 * out, 0.13, 0.15), (206, 72, 84), "hair tie", bulk=0.1)


def _draw_braids(brush: Brush, colour: Rgb, degrees: float, before: bool) -> None:
    for side in (-1.0, 1.0):
        root, near = on_globe(side * 84.0, -32.0, degrees, 1.0)
        if (near > -0.25) != before:
            continue
        for knot in range(5):
            at = root + complex(0.05 * side, -0.12 - 0.25 * knot)
            brush.fill(ellipse(at, 0.19 - 0.012 * knot, 0.17), colour if knot % 2 else darker(colour, 0.07), "hair", bulk=0.2)
        brush.fill(ellipse(root + complex(0.05 * side, -1.30), 0.12, 0.08), (206, 72, 84), "hair tie", bulk=0.1)


_TIED: dict[str, Callable[[Brush, Rgb, float, bool], None]] = {
    "ponytail": _draw_ponytail,
    "bun": _draw_bun,
    "pigtails": _draw_pigtails,
    "braids": _draw_braids,
}
