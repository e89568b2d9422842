"""Trees, bushes, flowers and grass."""

from __future__ import annotations

import random

import numpy

from marquetry.nodes.world.stage.curves import arc, ellipse, ribbon, smooth
from marquetry.nodes.world.stage.palette import WOOD, Rgb, darker, lighter, mix
from marquetry.nodes.world.stage.sketch import Brush

STEM: Rgb = (84, 146, 74)
TRUNK: Rgb = (138, 96, 68)


def draw_tree(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A broad tree, 4 m high: a cloud of leaves over a forked trunk."""
    chance = random.Random(seed)
    brush.fill(
        smooth([-0.34, -0.16 + 0.25j, -0.14 + 1.6j, 0.14 + 1.6j, 0.16 + 0.25j, 0.34, 0.1 - 0.04j, -0.1 - 0.04j]), TRUNK, "trunk", bulk=0.15
    )
    brush.fill(ribbon([1.2j, -0.28 + 1.75j, -0.52 + 2.1j], [0.16, 0.12, 0.08]), TRUNK, "trunk", bulk=0.1)
    brush.fill(ribbon([1.35j, 0.26 + 1.8j, 0.5 + 2.2j], [0.16, 0.12, 0.08]), TRUNK, "trunk", bulk=0.1)
    lobes = [
        (-0.92 + 2.1j, 0.62),
        (0.92 + 2.15j, 0.60),
        (0.0 + 2.2j, 0.82),
        (-0.58 + 2.85j, 0.68),
        (0.60 + 2.9j, 0.66),
        (0.02 + 3.3j, 0.70),
    ]
    lobes = [(at + complex(chance.uniform(-0.1, 0.1), chance.uniform(-0.1, 0.1)), radius) for at, radius in lobes]
    for at, radius in lobes:
        brush.fill(ellipse(at, radius, radius * 0.94), colour, "leaves", bulk=0.75)
    for at, radius in lobes[3:]:
        brush.fill(
            ellipse(at + complex(-0.08, 0.10), radius * 0.66, radius * 0.56), lighter(colour, 0.16), "leaves", over="leaves", bulk=0.75
        )
    for at, radius in lobes[:3]:
        crescent = (arc(at, radius * 0.82, radius * 0.76, 200.0, 340.0, 12), arc(at, radius * 0.82, radius * 0.46, 340.0, 200.0, 12))
        brush.fill(numpy.concatenate(crescent), darker(colour, 0.13), "leaves", over="leaves", bulk=0.75)


def draw_pine(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A pine, 4.4 m high, in four tiers."""
    brush.fill([-0.16, -0.12 + 0.9j, 0.12 + 0.9j, 0.16], TRUNK, "trunk", bulk=0.12)
    tiers = ((0.62, 1.22, 1.25), (1.35, 1.0, 1.15), (2.1, 0.78, 1.1), (2.85, 0.55, 1.5))
    for index, (low, wide, high) in enumerate(tiers):
        outline = [complex(0, low + high)] * 2 + [
            complex(wide * 0.48, low + high * 0.42),
            complex(wide, low + 0.02),
            complex(wide * 0.9, low - 0.08),
            complex(wide * 0.4, low + 0.04),
            complex(0, low - 0.08),
        ]
        outline += [
            complex(-wide * 0.4, low + 0.04),
            complex(-wide * 0.9, low - 0.08),
            complex(-wide, low + 0.02),
            complex(-wide * 0.48, low + high * 0.42),
        ]
        brush.fill(
            smooth(outline, 4), mix(darker(colour, 0.14), lighter(colour, 0.08), index / 3), "leaves", over=f"tier {index}", bulk=0.5
        )


def draw_bush(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A round bush, a metre wide."""
    for at, radius in ((-0.36 + 0.26j, 0.30), (0.36 + 0.26j, 0.28), (0.36j, 0.40)):
        brush.fill(ellipse(at, radius, radius * 0.9), colour, "leaves", bulk=0.3)
    brush.fill([-0.62, 0.62, 0.5 + 0.16j, -0.5 + 0.16j], colour, "leaves", bulk=0.3)
    for at in (-0.3 + 0.36j, 0.1 + 0.5j, 0.34 + 0.3j):
        brush.fill(ellipse(at, 0.13, 0.09), lighter(colour, 0.2), "leaves", over="leaves", bulk=0.3)


def draw_palm(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A palm, 4.4 m high."""
    brush.fill(ribbon([0, 0.24 + 1.4j, 0.22 + 2.7j, 0.05 + 3.7j], [0.34, 0.24, 0.20, 0.18]), (176, 132, 90), "trunk", bulk=0.12)
    for height in (0.6, 1.2, 1.8, 2.4, 3.0):
        x = 0.24 - 0.06 * abs(height - 1.9)
        brush.fill(
            ribbon([complex(x - 0.11, height), complex(x, height - 0.05), complex(x + 0.11, height)], [0.03, 0.05, 0.03]),
            (140, 100, 68),
            "trunk",
            over="trunk",
            bulk=0.12,
        )
    crown = 0.05 + 3.7j
    for angle, reach in ((-1.5, 0.9), (1.5, 0.9), (-0.95, 1.45), (0.95, 1.4), (-0.35, 1.5), (0.38, 1.45)):
        tip = crown + complex(angle * 1.05, 0.55 - angle * angle * 0.55) * (reach / 1.25)
        middle = crown + (tip - crown) * 0.5 + 0.34j
        shade = mix(darker(colour, 0.16), colour, min(1.0, reach - 0.6))
        brush.fill(ribbon([crown, middle, tip], [0.16, 0.44, 0.02]), shade, "leaves", over=f"leaf {angle}", bulk=0.15)
    for at in (-0.08 + 3.58j, 0.16 + 3.56j):
        brush.fill(ellipse(at, 0.11), (128, 86, 58), "trunk", bulk=0.08)


def draw_grass(brush: Brush, chance: random.Random, colour: Rgb) -> None:
    """A tuft of three blades."""
    height = chance.uniform(0.08, 0.15)
    for lean in (-0.6, 0.0, 0.6):
        tip = complex(lean * height * 0.8, height * (1.0 if lean == 0 else 0.75))
        brush.fill([complex(-0.012 + lean * 0.015, 0), complex(0.012 + lean * 0.015, 0), tip], colour, "grass", over="grass", bulk=0.0)


def draw_blossom(brush: Brush, chance: random.Random, colour: Rgb) -> None:
    """A very small flower in the grass."""
    height = chance.uniform(0.06, 0.12)
    brush.fill(ribbon([0, 1j * height], [0.012, 0.012], 2), STEM, "small flowers", over="small flowers", bulk=0.0)
    brush.fill(ellipse(1j * height, 0.034, 0.03, count=10), colour, "small flowers", over="small flowers", bulk=0.0)
    brush.fill(ellipse(1j * height, 0.012, 0.012, count=8), (250, 214, 96), "small flowers", over="small flowers", bulk=0.0)


def _leafy_stem(brush: Brush, height: float) -> None:
    brush.fill(ribbon([0, 0.02 + 0.5j * height, 1j * height], [0.045, 0.04, 0.035]), STEM, "stem", bulk=0.03)
    for side in (-1.0, 1.0):
        leaf = [
            0.02j,
            0.02j,
            complex(side * 0.16, 0.20),
            complex(side * 0.24, 0.44),
            complex(side * 0.24, 0.44),
            complex(side * 0.06, 0.24),
        ]
        brush.fill(smooth(leaf), darker(STEM, 0.10) if side < 0 else STEM, "stem", over=f"leaf {side}", bulk=0.05)


def draw_tulip(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A tulip, 0.9 m high in this world of small people."""
    _leafy_stem(brush, 0.62)
    cup = [
        -0.15 + 0.86j,
        -0.15 + 0.86j,
        -0.17 + 0.68j,
        0.58j,
        0.17 + 0.68j,
        0.15 + 0.86j,
        0.15 + 0.86j,
        0.075 + 0.78j,
        0.0 + 0.90j,
        0.0 + 0.90j,
        -0.075 + 0.78j,
    ]
    brush.fill(smooth(cup), colour, "flower", bulk=0.12)
    brush.fill(smooth([0.90j, 0.90j, 0.075 + 0.74j, 0.60j, -0.075 + 0.74j]), lighter(colour, 0.18), "flower", over="flower", bulk=0.12)


def _petals(brush: Brush, at: complex, count: int, reach: float, wide: float, colour: Rgb, heart: Rgb, heart_size: float) -> None:
    for index in range(count):
        angle = 360.0 / count * index + 90.0
        middle = at + reach * 0.55 * complex(ellipse(0, 1.0, count=count)[index]) * 1j
        brush.fill(
            ellipse(middle, reach * 0.5, wide, angle, 16),
            colour if index % 2 else darker(colour, 0.07),
            "flower",
            over=f"petal {index % 2}",
            bulk=0.06,
        )
    brush.fill(ellipse(at, heart_size), heart, "flower heart", over="flower", bulk=0.08)


def draw_daisy(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A daisy with many petals."""
    _leafy_stem(brush, 0.66)
    _petals(brush, 0.72j, 10, 0.26, 0.062, colour, (248, 200, 70), 0.085)


def draw_sunflower(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A tall sunflower."""
    _leafy_stem(brush, 1.0)
    _petals(brush, 1.1j, 14, 0.34, 0.065, colour, (112, 70, 46), 0.17)
    brush.fill(ellipse(1.1j, 0.10), (138, 90, 58), "flower heart", over="flower", bulk=0.08)


def draw_rose(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A rose."""
    _leafy_stem(brush, 0.62)
    brush.fill(
        smooth([-0.17 + 0.74j, -0.08 + 0.60j, 0.08 + 0.60j, 0.17 + 0.74j, 0.12 + 0.88j, 0.92j, -0.12 + 0.88j]), colour, "flower", bulk=0.14
    )
    brush.fill(
        smooth([-0.16 + 0.78j, -0.04 + 0.66j, 0.05 + 0.68j, -0.02 + 0.80j]), darker(colour, 0.14), "flower", over="flower", bulk=0.14
    )
    brush.fill(smooth([0.16 + 0.78j, 0.05 + 0.64j, -0.02 + 0.68j, 0.03 + 0.80j]), lighter(colour, 0.14), "flower", over="flower", bulk=0.14)
    brush.fill(ellipse(0.81j, 0.075, 0.06), darker(colour, 0.24), "flower", over="flower", bulk=0.14)
    brush.fill(ellipse(0.01 + 0.815j, 0.04, 0.03), lighter(colour, 0.05), "flower", over="flower", bulk=0.14)


def draw_log(brush: Brush, height: float) -> None:
    """A log to sit on."""
    brush = brush.at(0, height / 0.28)
    brush.fill(ribbon([-0.42 + 0.14j, 0.42 + 0.14j], [0.28, 0.28]), TRUNK, "seat", bulk=0.12)
    brush.fill(ellipse(0.42 + 0.14j, 0.09, 0.14), mix(WOOD, (240, 214, 170), 0.6), "seat", over="seat end", bulk=0.1)
    brush.fill(ellipse(0.42 + 0.14j, 0.05, 0.08), mix(WOOD, (240, 214, 170), 0.35), "seat", over="seat end", bulk=0.1)
    for low in (0.08, 0.19):
        brush.fill(
            ribbon([complex(-0.36, low), complex(0.2, low + 0.015)], [0.018, 0.0], 3), darker(TRUNK, 0.25), "seat", over="seat", bulk=0.1
        )
