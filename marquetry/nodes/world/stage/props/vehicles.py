"""Vehicles, in metres, looking to the right: car, bus, bicycle, sailing boat, hot air balloon."""

from __future__ import annotations

import numpy

from marquetry.nodes.world.stage.curves import box, ellipse, ribbon, round_box, smooth
from marquetry.nodes.world.stage.palette import INK, LAMPLIGHT, WHITE, WOOD, Rgb, darker, lighter, mix
from marquetry.nodes.world.stage.sketch import Brush

GLASS: Rgb = (190, 226, 240)
TYRE: Rgb = (62, 58, 68)
HUB: Rgb = (214, 214, 220)
CHROME: Rgb = (226, 228, 234)


def draw_wheel(brush: Brush, at: complex, radius: float, name: str = "wheel") -> None:
    """A tyre with its hub."""
    brush.fill(ellipse(at, radius), TYRE, "wheel", over=name, bulk=radius)
    brush.fill(ellipse(at, radius * 0.58), HUB, "wheel", over=name, bulk=radius)
    brush.fill(ellipse(at, radius * 0.22), darker(HUB, 0.35), "wheel", over=name, bulk=radius)


def _pane(brush: Brush, outline: list[complex] | numpy.ndarray[tuple[int], numpy.dtype[numpy.complexfloating]], name: str) -> None:
    brush.fill(outline, GLASS, "window", over=name, bulk=0.0)


def draw_car(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A round little car, 2.6 m long."""
    cabin = [-0.82 + 0.62j, -0.74 + 0.72j, -0.52 + 1.16j, -0.30 + 1.26j, 0.26 + 1.26j, 0.48 + 1.14j, 0.78 + 0.72j, 0.80 + 0.62j]
    brush.fill(smooth(cabin, 4), colour, "body", bulk=0.3)
    _pane(
        brush,
        smooth([-0.60 + 0.74j, -0.60 + 0.74j, -0.44 + 1.10j, -0.24 + 1.15j, -0.06 + 1.15j, -0.06 + 1.15j, -0.06 + 0.74j, -0.06 + 0.74j], 4),
        "body",
    )
    _pane(
        brush,
        smooth([0.04 + 0.74j, 0.04 + 0.74j, 0.04 + 1.15j, 0.04 + 1.15j, 0.22 + 1.15j, 0.40 + 1.08j, 0.60 + 0.74j, 0.60 + 0.74j], 4),
        "body",
    )
    for x in (-0.4, 0.2):
        brush.fill(
            [complex(x, 0.80), complex(x + 0.07, 0.80), complex(x + 0.20, 1.10), complex(x + 0.13, 1.10)],
            mix(GLASS, WHITE, 0.6),
            "window",
            over="body",
        )
    shell = [
        -1.28 + 0.40j,
        -1.26 + 0.62j,
        -0.98 + 0.74j,
        -0.4 + 0.76j,
        0.5 + 0.76j,
        0.98 + 0.70j,
        1.26 + 0.56j,
        1.30 + 0.36j,
        1.22 + 0.24j,
        -1.22 + 0.24j,
    ]
    brush.fill(smooth(shell), colour, "body", over="shell", bulk=0.3)
    brush.fill(ribbon([-1.22 + 0.42j, 1.24 + 0.42j], [0.05, 0.05], 2), lighter(colour, 0.45), "body", over="shell", bulk=0.3)
    brush.fill(ribbon([-0.01 + 0.72j, -0.01 + 0.32j], [0.02, 0.02], 2), darker(colour, 0.28), "body", over="shell", bulk=0.3)
    brush.fill(round_box(0.08, 0.60, 0.24, 0.64, 0.02), CHROME, "handle", over="shell")
    brush.fill(ellipse(1.17 + 0.52j, 0.085, 0.10), (255, 246, 206), "headlight", over="headlight", bulk=0.05, glows=True)
    brush.fill(ellipse(-1.22 + 0.54j, 0.055, 0.08), (226, 84, 76), "tail light", over="shell")
    for x in (-1.2, 1.06):
        brush.fill(round_box(x - 0.12, 0.22, x + 0.26, 0.32, 0.05), CHROME, "bumper", bulk=0.05)
    for x in (-0.76, 0.76):
        brush.fill(ellipse(complex(x, 0.28), 0.34, 0.34), darker(colour, 0.5), "body", over="shell", bulk=0.0)
        draw_wheel(brush, complex(x, 0.26), 0.26, f"wheel {x}")


def draw_bus(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A bus, 4.2 m long, with people's windows in a row."""
    brush.fill(round_box(-2.1, 0.30, 2.1, 2.12, 0.30), colour, "body", bulk=0.4)
    brush.fill(round_box(-2.1, 1.84, 2.1, 2.12, 0.14), lighter(colour, 0.55), "roof", over="body", bulk=0.4)
    brush.fill(box(-2.1, 0.74, 2.1, 0.92), lighter(colour, 0.65), "stripe", over="body", bulk=0.4)
    for index, x in enumerate((-1.92, -1.26, -0.60, 0.06)):
        _pane(brush, round_box(x, 1.08, x + 0.56, 1.72, 0.08), "body")
        brush.fill(
            [complex(x + 0.08, 1.14), complex(x + 0.18, 1.14), complex(x + 0.34, 1.66), complex(x + 0.24, 1.66)],
            mix(GLASS, WHITE, 0.6),
            "window",
            over="body",
        )
        if index in (0, 2):
            brush.fill(ellipse(complex(x + 0.36, 1.24), 0.12, 0.14), mix((150, 110, 92), GLASS, 0.45), "window", over="body")
    brush.fill(round_box(0.76, 0.36, 1.28, 1.74, 0.06), darker(colour, 0.25), "door", over="body")
    _pane(brush, round_box(0.82, 0.86, 1.0, 1.66, 0.04), "body")
    _pane(brush, round_box(1.04, 0.86, 1.22, 1.66, 0.04), "body")
    _pane(brush, smooth([1.46 + 1.08j, 1.46 + 1.72j, 2.0 + 1.68j, 2.06 + 1.4j, 2.06 + 1.08j], 4), "body")
    brush.fill(ellipse(2.0 + 0.58j, 0.08, 0.10), (255, 246, 206), "headlight", over="headlight", glows=True)
    brush.fill(round_box(-2.16, 0.26, 2.16, 0.40, 0.06), darker(colour, 0.4), "bumper", bulk=0.05)
    for x in (-1.3, 1.56):
        draw_wheel(brush, complex(x, 0.32), 0.32, f"wheel {x}")


def _ring(at: complex, radius: float, wide: float) -> numpy.ndarray[tuple[int], numpy.dtype[numpy.complexfloating]]:
    outer = ellipse(at, radius, count=32)
    closed = numpy.append(outer, outer[:1])
    return numpy.concatenate((closed, (closed - at)[::-1] * (1.0 - wide / radius) + at))


def draw_bicycle(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A bicycle with a basket, 1.6 m long."""
    rear, front, pedals, seat, bar = -0.52 + 0.34j, 0.56 + 0.34j, -0.06 + 0.32j, -0.24 + 0.84j, 0.40 + 0.92j
    for at in (rear, front):
        for turn in range(0, 180, 45):
            spoke = ellipse(0, 0.31, count=8)[turn // 45]
            brush.fill(ribbon([at - spoke, at + spoke], [0.010, 0.010], 2), (178, 178, 186), "wheel", over="spokes")
        brush.fill(_ring(at, 0.34, 0.055), TYRE, "wheel", over="tyre", bulk=0.03)
        brush.fill(ellipse(at, 0.045), HUB, "wheel", over="hub")
    for path in ([rear, pedals], [rear, seat], [pedals, seat], [pedals, bar - 0.12j], [seat - 0.02j, bar - 0.10j], [front, bar]):
        brush.fill(ribbon(path, [0.052, 0.052], 2), colour, "frame", bulk=0.03)
    brush.fill(ribbon([bar, bar + complex(-0.16, 0.08)], [0.045, 0.05], 2), darker(colour, 0.4), "handlebar", bulk=0.03)
    brush.fill(
        smooth([seat + complex(-0.16, 0.06), seat + complex(0.14, 0.06), seat + complex(0.10, 0.0), seat + complex(-0.14, -0.01)], 4),
        (96, 64, 52),
        "saddle",
        bulk=0.04,
    )
    brush.fill(ribbon([pedals + complex(-0.06, -0.12), pedals + complex(0.06, 0.12)], [0.03, 0.03], 2), darker(HUB, 0.4), "pedals")
    brush.fill([0.46 + 0.72j, 0.78 + 0.72j, 0.84 + 1.0j, 0.42 + 1.0j], mix(WOOD, (246, 220, 160), 0.5), "basket", bulk=0.06)
    for low in (0.80, 0.90):
        brush.fill(ribbon([complex(0.45, low), complex(0.80, low)], [0.018, 0.018], 2), darker(WOOD, 0.1), "basket", over="basket")


def draw_boat(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A sailing boat, 3 m high."""
    brush.fill(ribbon([-0.02 + 0.4j, -0.02 + 3.05j], [0.09, 0.06], 2), WOOD, "mast", bulk=0.03)
    brush.fill(
        smooth([0.08 + 0.80j, 0.08 + 0.80j, 0.06 + 2.9j, 0.06 + 2.9j, 0.72 + 1.7j, 1.16 + 0.80j, 1.16 + 0.80j], 5),
        mix(WHITE, (244, 232, 208), 0.5),
        "sail",
        over="main sail",
        bulk=0.25,
    )
    brush.fill(
        smooth([0.07 + 1.5j, 0.07 + 1.5j, 0.065 + 1.95j, 0.065 + 1.95j, 0.60 + 1.95j, 0.82 + 1.5j, 0.82 + 1.5j], 4),
        colour,
        "sail",
        over="main sail",
        bulk=0.25,
    )
    brush.fill(
        smooth([-0.12 + 0.84j, -0.12 + 0.84j, -0.10 + 2.5j, -0.10 + 2.5j, -0.6 + 1.5j, -0.92 + 0.84j, -0.92 + 0.84j], 5),
        lighter(colour, 0.35),
        "sail",
        over="fore sail",
        bulk=0.25,
    )
    brush.fill([-0.02 + 3.05j, -0.38 + 2.94j, -0.02 + 2.84j], colour, "flag", bulk=0.03)
    brush.fill(
        smooth([-1.36 + 0.66j, -1.36 + 0.66j, 1.40 + 0.66j, 1.40 + 0.66j, 1.10 + 0.10j, 0.8, -0.8, -1.06 + 0.10j], 5),
        colour,
        "hull",
        bulk=0.25,
    )
    brush.fill(ribbon([-1.30 + 0.56j, 1.32 + 0.56j], [0.12, 0.12], 2), lighter(colour, 0.7), "hull", over="hull", bulk=0.25)
    for x in (-0.5, 0.0, 0.5):
        brush.fill(ellipse(complex(x, 0.32), 0.09), GLASS, "porthole", over="hull")


def draw_balloon(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A hot air balloon, 3 m high."""
    for x in (-0.18, 0.18):
        brush.fill(ribbon([complex(x, 0.4), complex(x * 2.0, 1.1)], [0.025, 0.025], 2), INK, "rope")
    outline = [
        3.0j,
        0.62 + 2.84j,
        1.0 + 2.30j,
        0.92 + 1.76j,
        0.40 + 1.14j,
        0.24 + 0.98j,
        -0.24 + 0.98j,
        -0.40 + 1.14j,
        -0.92 + 1.76j,
        -1.0 + 2.30j,
        -0.62 + 2.84j,
    ]
    brush.fill(smooth(outline), colour, "envelope", bulk=0.8)
    stripe = mix(colour, (255, 246, 226), 0.78)
    for share in (0.72, 0.2):
        shade = stripe if share > 0.5 else colour
        brush.fill(smooth([complex(point.real * share, point.imag) for point in outline]), shade, "envelope", over="envelope", bulk=0.8)
        if share > 0.5:
            brush.fill(smooth([complex(point.real * 0.44, point.imag) for point in outline]), colour, "envelope", over="envelope", bulk=0.8)
    brush.fill(smooth([complex(point.real * 0.14, point.imag) for point in outline]), stripe, "envelope", over="envelope", bulk=0.8)
    brush.fill(ellipse(0.72j, 0.07, 0.12), LAMPLIGHT, "flame", over="flame", glows=True)
    brush.fill([-0.26 + 0.44j, 0.26 + 0.44j, 0.21, -0.21], mix(WOOD, (240, 206, 140), 0.35), "basket", bulk=0.1)
    brush.fill(ribbon([-0.28 + 0.44j, 0.28 + 0.44j], [0.07, 0.07], 2), darker(WOOD, 0.1), "basket", over="rim", bulk=0.04)
    brush.fill(ribbon([-0.23 + 0.2j, 0.23 + 0.2j], [0.03, 0.03], 2), darker(WOOD, 0.1), "basket", over="basket")
