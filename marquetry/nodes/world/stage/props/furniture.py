"""Furniture, in metres."""

from __future__ import annotations

import random

from marquetry.nodes.world.stage.curves import box, ellipse, ribbon, round_box, smooth
from marquetry.nodes.world.stage.palette import DARK_WOOD, LAMPLIGHT, WHITE, WOOD, Rgb, darker, lighter, mix
from marquetry.nodes.world.stage.sketch import Brush

SPINES: tuple[Rgb, ...] = ((204, 92, 84), (232, 168, 84), (98, 142, 176), (120, 160, 106), (158, 118, 172), (240, 226, 196))


def draw_chair(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A wooden chair seen a little from its side, 0.95 m high."""
    wood = darker(colour, 0.24)
    for x in (-0.14, 0.24):
        brush.fill(ribbon([complex(x, 0.44), complex(x + 0.02, 0.05)], [0.055, 0.045], 2), darker(wood, 0.2), "leg", bulk=0.02)
    brush.fill(ribbon([-0.22 + 0.44j, -0.25 + 0.98j], [0.06, 0.055], 2), wood, "back", over="post", bulk=0.03)
    brush.fill(ribbon([0.12 + 0.48j, 0.12 + 0.98j], [0.06, 0.055], 2), wood, "back", over="post", bulk=0.03)
    for low in (0.86, 0.68):
        brush.fill(round_box(-0.25, low, 0.13, low + 0.10, 0.04), colour, "back", over=f"slat {low}", bulk=0.05)
    brush.fill(
        smooth([-0.27 + 0.47j, -0.27 + 0.47j, -0.14 + 0.53j, 0.20 + 0.53j, 0.30 + 0.47j, 0.30 + 0.47j, 0.27 + 0.42j, -0.24 + 0.42j], 4),
        colour,
        "seat",
        bulk=0.06,
    )
    for x in (-0.23, 0.16):
        brush.fill(ribbon([complex(x, 0.43), complex(x - 0.01, 0.02)], [0.06, 0.05], 2), wood, "leg", bulk=0.03)


def draw_table(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A round table with a cup on it, 0.7 m high without."""
    brush.fill(ribbon([-0.20 + 0.03j, 0.05j, 0.20 + 0.03j], [0.05, 0.06, 0.05], 4), darker(colour, 0.35), "foot", bulk=0.03)
    brush.fill(ribbon([0.04j, 0.66j], [0.10, 0.08], 2), darker(colour, 0.28), "leg", bulk=0.04)
    brush.fill(ellipse(0.655j, 0.58, 0.12), darker(colour, 0.25), "top", over="edge", bulk=0.05)
    brush.fill(ellipse(0.70j, 0.58, 0.12), colour, "top", over="top", bulk=0.1)
    brush.fill(ellipse(0.71j, 0.48, 0.09), lighter(colour, 0.14), "top", over="top", bulk=0.1)
    _cup(brush, -0.14 + 0.71j)


def _cup(brush: Brush, at: complex) -> None:
    brush.fill(ellipse(at, 0.11, 0.026), (240, 236, 228), "cup", over="saucer", bulk=0.02)
    brush.fill(
        smooth(
            [
                at + complex(-0.07, 0.12),
                at + complex(-0.07, 0.12),
                at + complex(0.07, 0.12),
                at + complex(0.07, 0.12),
                at + complex(0.05, 0.01),
                at + complex(-0.05, 0.01),
            ],
            4,
        ),
        WHITE,
        "cup",
        over="cup",
        bulk=0.05,
    )
    brush.fill(
        ribbon([at + complex(0.065, 0.10), at + complex(0.11, 0.07), at + complex(0.06, 0.04)], [0.016] * 3, 4), WHITE, "cup", over="cup"
    )
    brush.fill(ellipse(at + 0.12j, 0.07, 0.018), (132, 88, 62), "cup", over="cup")


def draw_sofa(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A soft sofa for two, 1.9 m wide."""
    for x in (-0.78, 0.78):
        brush.fill(box(x - 0.05, 0.0, x + 0.05, 0.14), DARK_WOOD, "leg", bulk=0.02)
    brush.fill(round_box(-0.86, 0.30, 0.86, 0.98, 0.16), darker(colour, 0.10), "back", bulk=0.2)
    for x in (-0.70, 0.02):
        brush.fill(round_box(x, 0.42, x + 0.68, 0.90, 0.10), colour, "back", over=f"cushion {x}", bulk=0.12)
    brush.fill(round_box(-0.80, 0.10, 0.80, 0.36, 0.06), darker(colour, 0.16), "seat", bulk=0.1)
    for x in (-0.71, 0.01):
        brush.fill(round_box(x, 0.30, x + 0.70, 0.50, 0.08), lighter(colour, 0.10), "seat", over=f"seat {x}", bulk=0.08)
    for x in (-0.96, 0.72):
        brush.fill(round_box(x, 0.10, x + 0.24, 0.66, 0.11), colour, "arm", over=f"arm {x}", bulk=0.1)
    pillow = mix(colour, (250, 214, 120), 0.75)
    brush.fill(smooth([-0.62 + 0.50j, -0.66 + 0.80j, -0.36 + 0.84j, -0.30 + 0.54j]), pillow, "pillow", bulk=0.1)


def draw_lamp(brush: Brush, colour: Rgb, seed: int = 0, lit: bool = False) -> None:
    """A standing lamp, 1.6 m high."""
    brush.fill(round_box(-0.17, 0.0, 0.17, 0.05, 0.02), DARK_WOOD, "foot", bulk=0.05)
    brush.fill(box(-0.022, 0.04, 0.022, 1.3), DARK_WOOD, "stem", bulk=0.02)
    shade = mix(colour, LAMPLIGHT, 0.55) if lit else colour
    brush.fill([-0.30 + 1.18j, 0.30 + 1.18j, 0.18 + 1.6j, -0.18 + 1.6j], shade, "shade", bulk=0.18, glows=lit)
    for low, wide in ((1.18, 0.30), (1.555, 0.195)):
        brush.fill(box(-wide, low, wide, low + 0.04), darker(shade, 0.2), "shade", over="shade", glows=lit)
    brush.fill(ribbon([0.10 + 1.18j, 0.10 + 1.02j], [0.012, 0.012], 2), (226, 196, 120), "cord")


def draw_bookshelf(brush: Brush, colour: Rgb = WOOD, seed: int = 0) -> None:
    """A bookshelf 1.55 m high, full of books."""
    chance = random.Random(seed)
    brush.fill(box(-0.5, 0.0, 0.5, 1.55), colour, "shelf", bulk=0.12)
    for low in (0.08, 0.56, 1.04):
        brush.fill(box(-0.44, low, 0.44, low + 0.42), darker(colour, 0.45), "shelf", over="inside")
        x = -0.42
        while x < 0.34:
            wide, tall = chance.uniform(0.06, 0.11), chance.uniform(0.26, 0.38)
            if chance.random() < 0.9:
                brush.fill(box(x, low, x + wide - 0.008, low + tall), chance.choice(SPINES), "books", over="inside", bulk=0.03)
            x += wide
    brush.fill(box(-0.54, 1.52, 0.54, 1.60), lighter(colour, 0.12), "shelf", over="board", bulk=0.04)
    brush.fill(ellipse(0.26 + 1.70j, 0.11, 0.11), (112, 160, 100), "plant", bulk=0.06)
    brush.fill([0.17 + 1.68j, 0.35 + 1.68j, 0.31 + 1.58j, 0.21 + 1.58j], (206, 120, 84), "plant", over="pot", bulk=0.04)


def draw_stool(brush: Brush, height: float) -> None:
    """A padded stool to sit on."""
    for x in (-0.16, 0.16):
        brush.fill(
            ribbon([complex(x * 0.9, height - 0.04), complex(x * 1.2, 0.0)], [0.05, 0.04], 2), DARK_WOOD, "seat", over="leg", bulk=0.02
        )
    brush.fill(round_box(-0.24, height - 0.12, 0.24, height, 0.06), (190, 98, 92), "seat", bulk=0.06)


def draw_bench(brush: Brush, height: float) -> None:
    """A park bench to sit on."""
    for x in (-0.58, 0.58):
        brush.fill(ribbon([complex(x, height + 0.42), complex(x, 0.0)], [0.05, 0.06], 2), (84, 84, 94), "seat", over="iron", bulk=0.02)
    for low in (height + 0.34, height + 0.20):
        brush.fill(round_box(-0.72, low - 0.05, 0.72, low + 0.05, 0.02), WOOD, "seat", over=f"slat {low:.2f}", bulk=0.04)
    brush.fill(round_box(-0.74, height - 0.10, 0.74, height, 0.02), WOOD, "seat", over="slat", bulk=0.05)


def draw_rock(brush: Brush, height: float) -> None:
    """A flat stone to sit on."""
    brush.fill(
        smooth([-0.38, -0.34 + 0.7j * height, -0.18 + 1j * height, 0.2 + 1j * height, 0.36 + 0.66j * height, 0.40]),
        (166, 162, 168),
        "seat",
        bulk=0.15,
    )
    brush.fill(
        smooth([-0.2 + 0.96j * height, 0.18 + 0.96j * height, 0.1 + 0.8j * height, -0.16 + 0.82j * height], 4),
        (190, 186, 190),
        "seat",
        over="seat",
        bulk=0.15,
    )
