"""Houses, in metres: a cottage for fields, a row of town houses for streets, a castle."""

from __future__ import annotations

import random
from functools import partial

from marquetry.nodes.world.stage.curves import arc, box, ellipse, ribbon, round_box, smooth
from marquetry.nodes.world.stage.palette import DARK_WOOD, LAMPLIGHT, WHITE, WOOD, Rgb, darker, lighter, mix
from marquetry.nodes.world.stage.sketch import Brush

GLASS: Rgb = (168, 206, 226)
STONE: Rgb = (206, 200, 206)


def draw_window(
    brush: Brush, at: complex, wide: float, tall: float, lit: bool, frame: Rgb = (250, 244, 232), shutters: Rgb | None = None
) -> None:
    """A window with a cross of bars; `lit` from inside at night."""
    x, y = at.real, at.imag
    if shutters is not None:
        for side in (-1.0, 1.0):
            left = x + side * wide * 0.78
            brush.fill(
                box(left - wide * 0.26, y - tall * 0.52, left + wide * 0.26, y + tall * 0.52),
                shutters,
                "shutter",
                over="shutter",
                bulk=0.04,
            )
    brush.fill(box(x - wide * 0.58, y - tall * 0.58, x + wide * 0.58, y + tall * 0.58), frame, "window", over="window frame")
    brush.fill(
        box(x - wide / 2, y - tall / 2, x + wide / 2, y + tall / 2), LAMPLIGHT if lit else GLASS, "window", over="window frame", glows=lit
    )
    if not lit:
        brush.fill(
            [
                complex(x - wide * 0.4, y),
                complex(x - wide * 0.18, y),
                complex(x + wide * 0.1, y + tall * 0.5),
                complex(x - wide * 0.14, y + tall * 0.5),
            ],
            lighter(GLASS, 0.5),
            "window",
            over="window frame",
        )
    brush.fill(box(x - wide * 0.04, y - tall / 2, x + wide * 0.04, y + tall / 2), frame, "window", over="window frame")
    brush.fill(box(x - wide / 2, y - tall * 0.035, x + wide / 2, y + tall * 0.035), frame, "window", over="window frame")


def draw_house(brush: Brush, colour: Rgb, seed: int = 0, lit: bool = False) -> None:
    """A cottage 3.6 m high with a steep roof, a round door and flowers."""
    roof = mix(darker(colour, 0.42), (150, 82, 70), 0.4)
    brush.fill(box(0.62, 2.5, 0.98, 3.5), (176, 128, 112), "chimney", bulk=0.1)
    brush.fill(box(0.56, 3.42, 1.04, 3.56), (150, 104, 92), "chimney", over="chimney", bulk=0.05)
    brush.fill(box(-1.5, 0.0, 1.5, 1.9), colour, "wall", bulk=0.2)
    brush.fill(box(-1.5, 0.0, 1.5, 0.22), mix(STONE, colour, 0.2), "wall", over="wall", bulk=0.1)
    brush.fill(
        smooth([-1.86 + 1.72j, -1.86 + 1.72j, -1.1 + 2.9j, -0.9 + 3.16j, 0.9 + 3.16j, 1.1 + 2.9j, 1.86 + 1.72j, 1.86 + 1.72j], 4),
        roof,
        "roof",
        bulk=0.25,
    )
    for row, (low, half) in enumerate(((2.02, 1.58), (2.36, 1.36), (2.70, 1.14))):
        brush.fill(
            ribbon([complex(-half, low), complex(half, low)], [0.04, 0.04], 2),
            darker(roof, 0.18 + row * 0.01),
            "roof",
            over="roof",
            bulk=0.25,
        )
    brush.fill([-0.52 + 1.9j, 0.52 + 1.9j, 2.86j], colour, "wall", over="gable", bulk=0.15)
    brush.fill(
        ribbon([-0.62 + 1.82j, 2.96j, 0.62 + 1.82j], [0.11, 0.11, 0.11], 2), lighter(roof, 0.2), "roof", over="gable edge", bulk=0.05
    )
    draw_window(brush, 2.22j, 0.36, 0.42, lit)
    door = [complex(point) for point in arc(1.0j, 0.32, 0.36, 0.0, 180.0, 10)]
    brush.fill([0.32 + 0.0j, *door, -0.32 + 0.0j], DARK_WOOD, "door", bulk=0.06)
    brush.fill([0.25 + 0.03j, *[point * 0.78 + 0.22j for point in door], -0.25 + 0.03j], WOOD, "door", over="door", bulk=0.06)
    brush.fill(ellipse(0.14 + 0.66j, 0.045), (246, 210, 110), "door", over="door")
    for x in (-0.96, 0.96):
        draw_window(brush, complex(x, 1.12), 0.5, 0.62, lit, shutters=lighter(roof, 0.12))
        brush.fill(round_box(x - 0.40, 0.60, x + 0.40, 0.74, 0.03), WOOD, "flower box", bulk=0.04)
        for dx in (-0.28, -0.1, 0.1, 0.28):
            brush.fill(
                ellipse(complex(x + dx, 0.79), 0.085, 0.07), ((226, 100, 110), (250, 208, 110))[int(dx > 0)], "flowers", over="flowers"
            )


def draw_town_house(brush: Brush, colour: Rgb, seed: int = 0, lit: bool = False, shop: bool = False, high: float = 4.2) -> None:
    """A narrow house of a street, 2.4 m wide."""
    chance = random.Random(seed)
    roof = mix(darker(colour, 0.4), (140, 92, 92), 0.5)
    brush.fill(box(-1.2, 0.0, 1.2, high), colour, "wall", bulk=0.15)
    if chance.random() < 0.5:
        brush.fill([complex(-1.3, high - 0.05), complex(1.3, high - 0.05), complex(0.0, high + 1.0)], roof, "roof", bulk=0.2)
        brush.fill(ellipse(complex(0.0, high + 0.32), 0.2), LAMPLIGHT if lit else GLASS, "window", over="attic", glows=lit)
    else:
        brush.fill(
            [complex(-1.3, high - 0.05), complex(1.3, high - 0.05), complex(1.05, high + 0.6), complex(-1.05, high + 0.6)],
            roof,
            "roof",
            bulk=0.2,
        )
    shutter = chance.choice((None, darker(colour, 0.35), (112, 148, 140)))
    for low in levels(1.9, high - 0.5, 1.1):
        for x in (-0.56, 0.56):
            draw_window(brush, complex(x, low + 0.3), 0.44, 0.62, lit and chance.random() < 0.75, shutters=shutter)
    if shop:
        _shop_front(brush, chance.choice(((206, 92, 88), (90, 142, 132), (226, 164, 88), (112, 130, 180))), lit)
    else:
        brush.fill(round_box(-0.86, 0.0, -0.30, 1.18, 0.08), darker(roof, 0.2), "door", bulk=0.05)
        brush.fill(ellipse(-0.40 + 0.56j, 0.04), (246, 210, 110), "door", over="door")
        draw_window(brush, 0.44 + 0.78j, 0.62, 0.62, lit, shutters=None)


def levels(start: float, end: float, step: float) -> list[float]:
    """Heights from one to another."""
    return [start + step * index for index in range(int((end - start) / step) + 1)]


def _shop_front(brush: Brush, awning: Rgb, lit: bool) -> None:
    brush.fill(box(-1.06, 0.0, 1.06, 1.24), DARK_WOOD, "shop", bulk=0.05)
    brush.fill(box(-0.98, 0.28, 0.30, 1.12), LAMPLIGHT if lit else GLASS, "window", over="shop", glows=lit)
    brush.fill(box(0.42, 0.06, 0.96, 1.12), LAMPLIGHT if lit else lighter(GLASS, 0.2), "window", over="shop", glows=lit)
    for index in range(8):
        left = -1.16 + index * 0.29
        shade = awning if index % 2 else lighter(awning, 0.85)
        brush.fill(
            [
                complex(left, 1.06),
                complex(left + 0.145, 1.0),
                complex(left + 0.29, 1.06),
                complex(left + 0.27, 1.5),
                complex(left + 0.02, 1.5),
            ],
            shade,
            "awning",
            over="awning",
            bulk=0.1,
        )


def draw_tower(brush: Brush, colour: Rgb, roof: Rgb, wide: float, high: float, lit: bool, flag: bool = False) -> None:
    """A round tower with a pointed roof."""
    brush.fill(box(-wide, 0.0, wide, high), colour, "tower", bulk=wide * 0.8)
    brush.fill(box(-wide * 1.16, high - 0.1, wide * 1.16, high + 0.35), darker(colour, 0.08), "tower", over="collar", bulk=wide * 0.8)
    tip = high + 0.3 + wide * 2.6
    if flag:
        brush.fill(ribbon([complex(0, tip - 0.1), complex(0, tip + 0.8)], [0.06, 0.05], 2), DARK_WOOD, "flag", over="pole")
        brush.fill(
            smooth(
                [
                    complex(0, tip + 0.8),
                    complex(0, tip + 0.8),
                    complex(0.42, tip + 0.74),
                    complex(0.8, tip + 0.62),
                    complex(0.8, tip + 0.62),
                    complex(0.4, tip + 0.46),
                    complex(0, tip + 0.42),
                    complex(0, tip + 0.42),
                ],
                4,
            ),
            (226, 86, 92),
            "flag",
            bulk=0.05,
        )
    brush.fill(
        smooth(
            [
                complex(-wide * 1.34, high + 0.3),
                complex(-wide * 1.34, high + 0.3),
                complex(-wide * 0.5, high + wide * 1.5),
                complex(0, tip),
                complex(0, tip),
                complex(wide * 0.5, high + wide * 1.5),
                complex(wide * 1.34, high + 0.3),
                complex(wide * 1.34, high + 0.3),
            ],
            4,
        ),
        roof,
        "roof",
        bulk=wide * 0.8,
    )
    for level in levels(high * 0.45, high - 0.6, 1.4):
        outline = [complex(point) for point in arc(complex(0, level + 0.3), 0.2, 0.22, 0.0, 180.0, 8)]
        brush.fill(
            [complex(0.2, level - 0.15), *outline, complex(-0.2, level - 0.15)],
            LAMPLIGHT if lit else (108, 112, 142),
            "window",
            over="tower",
            glows=lit,
        )
    for at in (
        complex(-wide * 0.5, high * 0.22),
        complex(wide * 0.3, high * 0.36),
        complex(wide * 0.1, high * 0.12),
        complex(-wide * 0.3, high * 0.62),
    ):
        brush.fill(
            round_box(at.real - 0.16, at.imag, at.real + 0.16, at.imag + 0.14, 0.05),
            darker(colour, 0.1),
            "tower",
            over="tower",
            bulk=wide * 0.8,
        )


def draw_castle(brush: Brush, colour: Rgb, seed: int = 0, lit: bool = False) -> None:
    """A castle 13 m wide: a wall with a gate between towers, and a keep behind."""
    roof = ((88, 118, 176), (178, 88, 96), (118, 104, 164), (86, 138, 138))[seed % 4]
    tower = partial(draw_tower, colour=colour, roof=roof, lit=lit)
    tower(brush.at(-1.3 + 0j), wide=0.85, high=7.2, flag=True)
    tower(brush.at(1.5 + 0j), wide=0.75, high=6.0)
    brush.fill(box(-2.4, 0.0, 2.4, 4.6), lighter(colour, 0.06), "keep", bulk=0.4)
    _battlement(brush, -2.4, 2.4, 4.6, lighter(colour, 0.06))
    draw_window(brush, 3.7j, 0.6, 0.9, lit)
    brush.fill(box(-5.6, 0.0, 5.6, 2.7), colour, "wall", bulk=0.4)
    _battlement(brush, -5.6, 5.6, 2.7, colour)
    tower(brush.at(-5.4 + 0j), wide=1.0, high=4.6)
    tower(brush.at(5.4 + 0j), wide=1.0, high=5.0, flag=True)
    gate = [complex(point) for point in arc(1.3j, 0.85, 0.85, 0.0, 180.0, 14)]
    brush.fill([1.12 + 0j, *[1.3j + (point - 1.3j) * 1.3 for point in gate], -1.12 + 0j], darker(colour, 0.14), "gate", bulk=0.1)
    brush.fill([0.85 + 0j, *gate, -0.85 + 0j], (104, 70, 58), "gate", over="gate", bulk=0.1)
    for x in (-0.45, 0.0, 0.45):
        brush.fill(box(x - 0.04, 0.0, x + 0.04, 1.9 - abs(x) * 0.4), (78, 52, 46), "gate", over="gate")
    for x in (-3.4, -2.1, 2.1, 3.4):
        draw_window(brush, complex(x, 1.5), 0.36, 0.62, lit, frame=darker(colour, 0.16))


def _battlement(brush: Brush, left: float, right: float, high: float, colour: Rgb) -> None:
    count = int((right - left) / 0.7)
    step = (right - left) / count
    for index in range(count):
        x = left + step * index
        brush.fill(box(x + step * 0.14, high - 0.02, x + step * 0.78, high + 0.42), colour, "wall", over="battlement", bulk=0.1)
    brush.fill(box(left, high - 0.22, right, high + 0.02), mix(colour, WHITE, 0.22), "wall", over="battlement", bulk=0.1)
