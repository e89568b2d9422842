"""A small cafe: a counter with cakes, shelves, a menu board, lamps over the tables and a large window."""

from __future__ import annotations

import random
from functools import partial

from marquetry.nodes.world.stage.curves import box, ellipse, ribbon, round_box
from marquetry.nodes.world.stage.palette import DARK_WOOD, LAMPLIGHT, WHITE, WOOD, Rgb, darker, lighter, mix
from marquetry.nodes.world.stage.places.interior import draw_board, draw_hanging_lamp, draw_shelf, draw_view
from marquetry.nodes.world.stage.places.room import draw_shell, hang
from marquetry.nodes.world.stage.props.furniture import draw_chair, draw_table
from marquetry.nodes.world.stage.sketch import Brush
from marquetry.nodes.world.stage.theatre import Theatre, Thing

WALL_Z = 3.0
WALLS: tuple[Rgb, ...] = ((226, 172, 134), (150, 178, 164), (214, 150, 130), (196, 178, 150))
FLOOR: tuple[Rgb, Rgb] = ((182, 134, 100), (166, 118, 86))


def dress(theatre: Theatre) -> tuple[Rgb, Rgb]:
    """Sets the scenery; returns the ground's colours, far and near."""
    chance = random.Random(theatre.scene.seed ^ 0xCAFE)
    wall = chance.choice(WALLS)
    draw_shell(theatre, wall, FLOOR[0], WALL_Z, stripes=False)
    _draw_panelling(theatre, wall)
    side = chance.choice((-1.0, 1.0))
    hang(theatre, "window", -side * 1.15, 1.62, partial(_draw_front_window, theatre=theatre), wall_z=WALL_Z)
    hang(theatre, "board", side * 0.55, 2.02, draw_board, 0.9, wall_z=WALL_Z)
    hang(theatre, "shelf", side * 1.62, 1.62, draw_shelf, wall_z=WALL_Z)
    theatre.put(Thing("counter", "scenery"), side * 1.35, WALL_Z - 0.55, partial(_draw_counter, lit=theatre.dark), foot=0.9, height=0.3)
    cloth = chance.choice(((186, 92, 84), (92, 128, 142), (210, 168, 92)))
    theatre.put(Thing("table", "scenery"), -side * 1.45, 1.35, partial(draw_table, colour=WOOD), foot=0.5, height=0.5)
    theatre.put(Thing("chair", "scenery"), -side * 2.05, 1.45, partial(draw_chair, colour=cloth), foot=0.3, height=0.5, mirrored=side < 0)
    for x in (-1.5, 0.0, 1.5):
        lamp = partial(draw_hanging_lamp, lit=theatre.dark, colour=darker(cloth, 0.1))
        theatre.put(Thing("hanging lamp", "scenery"), x, 2.3, lamp, y=2.12, foot=0.0)
        theatre.glow(
            theatre.camera.project(x, 2.08, 2.3),
            theatre.camera.scale(0, 2.3) * (1.1 if theatre.dark else 0.6),
            LAMPLIGHT,
            0.5 if theatre.dark else 0.25,
        )
    return FLOOR


def _draw_panelling(theatre: Theatre, wall: Rgb) -> None:
    camera = theatre.camera
    low, metre = camera.project(camera.aside, 0.0, WALL_Z), camera.scale(camera.aside, WALL_Z)
    distance = camera.distance(camera.aside, WALL_Z)
    panel = mix(darker(wall, 0.28), DARK_WOOD, 0.35)
    theatre.flat(box(-8, low.imag - 0.92 * metre, 264, low.imag), panel, "wall", distance)
    theatre.flat(box(-8, low.imag - 0.96 * metre, 264, low.imag - 0.88 * metre), lighter(panel, 0.3), "wall", distance)
    first, pitch = camera.project(0.0, 0.0, WALL_Z).real, 0.3 * metre
    for board in range(int(-first / pitch) - 1, int((256 - first) / pitch) + 2):
        left = first + board * pitch
        theatre.flat(box(left, low.imag - 0.88 * metre, left + 0.02 * metre, low.imag), darker(panel, 0.2), "wall", distance)


def _draw_front_window(brush: Brush, theatre: Theatre) -> None:
    """A wide shop window."""
    frame = darker(WOOD, 0.25)
    brush.fill(box(-0.86, -0.62, 0.86, 0.74), frame, "window", bulk=0.05)
    draw_view(brush.at(0.06j), theatre, 0.78, 0.60)
    for x in (-0.27, 0.27):
        brush.fill(box(x - 0.022, -0.56, x + 0.022, 0.68), frame, "window", over="window")
    brush.fill(box(-0.8, 0.36, 0.8, 0.40), frame, "window", over="window")
    brush.fill(round_box(-0.94, -0.70, 0.94, -0.60, 0.02), lighter(frame, 0.2), "window", over="sill")


def _draw_counter(brush: Brush, lit: bool) -> None:
    """A counter 2 m wide with a glass case of cakes and a coffee machine."""
    brush.fill(box(-1.0, 0.0, 1.0, 0.92), WOOD, "counter", bulk=0.15)
    for x in (-0.92, -0.28, 0.36):
        brush.fill(box(x, 0.12, x + 0.56, 0.78), darker(WOOD, 0.16), "counter", over="counter", bulk=0.15)
    brush.fill(box(-1.06, 0.90, 1.06, 0.99), darker(WOOD, 0.3), "counter", over="top", bulk=0.05)
    brush.fill(
        round_box(-0.92, 0.98, 0.16, 1.38, 0.06), mix((206, 230, 236), LAMPLIGHT, 0.5 if lit else 0.1), "cake case", bulk=0.1, glows=lit
    )
    cakes: tuple[tuple[float, Rgb], ...] = ((-0.74, (240, 170, 180)), (-0.44, (250, 226, 170)), (-0.14, (168, 112, 84)))
    for x, colour in cakes:
        brush.fill(box(x - 0.11, 1.04, x + 0.11, 1.16), colour, "cake", over="cake case")
        brush.fill(ellipse(complex(x, 1.17), 0.11, 0.035), lighter(colour, 0.5), "cake", over="cake case")
        brush.fill(ellipse(complex(x, 1.21), 0.03), (214, 70, 74), "cake", over="cake case")
    brush.fill(round_box(0.36, 0.98, 0.84, 1.36, 0.05), (188, 192, 202), "coffee machine", bulk=0.1)
    brush.fill(box(0.42, 1.06, 0.78, 1.18), (92, 94, 108), "coffee machine", over="coffee machine")
    for x in (0.5, 0.66):
        brush.fill(ribbon([complex(x, 1.18), complex(x, 1.12)], [0.03, 0.03], 2), (60, 60, 72), "coffee machine", over="coffee machine")
    brush.fill(ellipse(0.6 + 1.28j, 0.05), WHITE, "coffee machine", over="coffee machine")
