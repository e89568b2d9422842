"""A cosy room: a papered wall with a window, a rug on a wooden floor, and furniture along the wall."""

from __future__ import annotations

import random

import numpy

from marquetry.nodes.world.stage.curves import arc, box, ellipse, ribbon, round_box
from marquetry.nodes.world.stage.light import SKIES
from marquetry.nodes.world.stage.palette import DARK_WOOD, LAMPLIGHT, WHITE, WOOD, Rgb, darker, lighter, mix
from marquetry.nodes.world.stage.sketch import VIEW, Brush
from marquetry.nodes.world.stage.theatre import Theatre, Thing

WALL_Z = 2.4
WALLS: tuple[Rgb, ...] = ((246, 222, 190), (206, 226, 214), (236, 208, 206), (204, 216, 236), (240, 228, 180))
FLOOR: tuple[Rgb, Rgb] = ((206, 156, 108), (190, 138, 92))
RUGS: tuple[Rgb, ...] = ((204, 104, 96), (112, 150, 178), (226, 176, 96), (138, 160, 112))


def dress(theatre: Theatre) -> tuple[Rgb, Rgb]:
    """Sets the scenery; returns the ground's colours, far and near."""
    chance = random.Random(theatre.scene.seed ^ 0x4007)
    wall = chance.choice(WALLS)
    draw_shell(theatre, wall, FLOOR[0], WALL_Z)
    _draw_rug(theatre, chance.choice(RUGS))
    side = chance.choice((-1.0, 1.0))
    curtain = chance.choice(RUGS)
    put_on_wall(theatre, "window", side * 0.95, 1.45, lambda brush: draw_window(brush, theatre, curtain))
    shade = chance.choice(RUGS)
    put_on_wall(theatre, "picture", -side * 0.55, 1.75, lambda brush: draw_picture(brush, shade))
    if chance.random() < 0.7:
        put_on_wall(theatre, "picture", -side * 1.1, 1.55, lambda brush: draw_picture(brush, darker(shade, 0.2)), 0.7)
    books = chance.randrange(1000)
    theatre.put(Thing("bookshelf", "scenery"), -side * 1.5, WALL_Z - 0.25, lambda brush: draw_bookshelf(brush, books), foot=0.5, height=0.4)
    theatre.put(
        Thing("lamp", "scenery"), side * 1.75, WALL_Z - 0.35, lambda brush: draw_floor_lamp(brush, theatre.dark), foot=0.22, height=0.3
    )
    if theatre.dark:
        theatre.glow(theatre.camera.project(side * 1.75, 1.5, WALL_Z - 0.35), theatre.camera.scale(0, WALL_Z) * 1.1, LAMPLIGHT, 0.5)
    theatre.put(Thing("plant", "scenery"), side * 0.35, WALL_Z - 0.3, draw_potted_plant, foot=0.25, height=0.3)
    return FLOOR


def draw_shell(theatre: Theatre, wall: Rgb, floor: Rgb, wall_z: float, high: float = 3.2) -> None:
    """A back wall with its skirting, and floor boards towards us."""
    camera = theatre.camera
    low, top = camera.project(0.0, 0.0, wall_z), camera.project(0.0, high, wall_z)
    distance = camera.distance(0.0, wall_z)
    theatre.flat(box(-8, top.imag - 400, VIEW + 8, low.imag), wall, "wall", distance)
    paper = mix(wall, WHITE, 0.22)
    for stripe in range(-14, 15):
        left, right = camera.project(stripe * 0.36, 0.0, wall_z).real, camera.project(stripe * 0.36 + 0.12, 0.0, wall_z).real
        theatre.flat(box(left, top.imag - 400, right, low.imag), paper, "wall", distance)
    skirt = camera.project(0.0, 0.14, wall_z)
    theatre.flat(box(-8, skirt.imag, VIEW + 8, low.imag), mix(wall, WHITE, 0.6), "skirting", distance)
    theatre.flat(box(-8, low.imag, VIEW + 8, VIEW + 8), floor, "floor", distance - 0.5, ground=True)
    board = darker(floor, 0.10)
    front = 0.9 - camera.back
    for plank in range(-18, 19):
        x = plank * 0.28 + camera.aside
        near, far = camera.project(x, 0.0, front), camera.project(x, 0.0, wall_z)
        near2, far2 = camera.project(x + 0.016, 0.0, front), camera.project(x + 0.010, 0.0, wall_z)
        theatre.flat(numpy.array([near, near2, far2, far]), board, "floor", distance - 0.5, ground=True)


def put_on_wall(theatre: Theatre, name: str, x: float, y: float, draw: object, size: float = 1.0, wall_z: float = WALL_Z) -> None:
    """Something that hangs on the back wall."""
    theatre.put(Thing(name, "scenery"), x, wall_z - 0.02, draw, y=y, size=size, foot=0.0)  # type: ignore[arg-type]


def _draw_rug(theatre: Theatre, colour: Rgb) -> None:
    camera = theatre.camera
    for radius, shade in ((1.5, darker(colour, 0.1)), (1.36, lighter(colour, 0.45)), (1.24, colour), (0.72, lighter(colour, 0.25))):
        ring = [camera.project(radius * p.real, 0.0, 0.35 + radius * 0.62 * p.imag) for p in ellipse(0, 1.0, count=36)]
        theatre.flat(numpy.array(ring), shade, "rug", camera.distance(0.0, 0.35), ground=True)


def draw_window(brush: Brush, theatre: Theatre, curtain: Rgb) -> None:
    """A window a metre wide with the sky of the hour behind it."""
    time = theatre.scene.time
    sky = SKIES[time]
    brush.fill(box(-0.56, -0.56, 0.56, 0.56), mix(WOOD, WHITE, 0.75), "window", bulk=0.05)
    for index, share in enumerate((0.0, 0.25, 0.5, 0.75)):
        shade = mix(sky[2], sky[0], share + 0.1)
        brush.fill(box(-0.49, -0.49 + 0.245 * index, 0.49, -0.49 + 0.245 * (index + 1)), shade, "window pane", over="window", glows=True)
    if time == "night":
        brush.fill(ellipse(0.22 + 0.24j, 0.10), (255, 244, 206), "window pane", over="window", glows=True)
        for at in (-0.3 + 0.3j, -0.12 + 0.1j, 0.36 - 0.02j, -0.36 - 0.1j):
            brush.fill(ellipse(at, 0.016, count=8), (255, 248, 220), "window pane", over="window", glows=True)
    else:
        for at, radius in ((-0.24 + 0.16j, 0.10), (-0.1 + 0.2j, 0.12), (0.04 + 0.16j, 0.09)):
            brush.fill(ellipse(at, radius, radius * 0.7), mix(sky[2], WHITE, 0.7), "window pane", over="window", glows=True)
        brush.fill(
            arc(-0.1 - 0.72j, 0.7, 0.46, 30.0, 146.0, 14), mix((120, 178, 110), sky[1], 0.25), "window pane", over="window", glows=True
        )
    brush.fill(box(-0.022, -0.5, 0.022, 0.5), mix(WOOD, WHITE, 0.75), "window", over="window")
    brush.fill(box(-0.5, -0.022, 0.5, 0.022), mix(WOOD, WHITE, 0.75), "window", over="window")
    brush.fill(box(-0.64, -0.64, 0.64, -0.56), mix(WOOD, WHITE, 0.6), "window", over="sill")
    for side in (-1.0, 1.0):
        drape = [
            complex(side * 0.72, 0.68),
            complex(side * 0.22, 0.68),
            complex(side * 0.34, 0.2),
            complex(side * 0.52, -0.2),
            complex(side * 0.60, -0.62),
            complex(side * 0.76, -0.62),
        ]
        brush.fill(drape, curtain, "curtain", over=f"curtain {side}", bulk=0.12)
    brush.fill(ribbon([-0.8 + 0.69j, 0.8 + 0.69j], [0.05, 0.05], 2), DARK_WOOD, "curtain", over="rod")


def draw_picture(brush: Brush, colour: Rgb) -> None:
    """A framed landscape."""
    brush.fill(box(-0.26, -0.2, 0.26, 0.2), DARK_WOOD, "picture", bulk=0.04)
    brush.fill(box(-0.22, -0.16, 0.22, 0.16), lighter(colour, 0.7), "picture", over="picture")
    brush.fill(
        [-0.22 - 0.16j, 0.22 - 0.16j, 0.22 - 0.05j, 0.06 + 0.07j, -0.06 - 0.03j, -0.14 + 0.03j, -0.22 - 0.06j],
        colour,
        "picture",
        over="picture",
    )
    brush.fill(ellipse(-0.1 + 0.08j, 0.035), (250, 206, 110), "picture", over="picture")


def draw_bookshelf(brush: Brush, seed: int = 0, colour: Rgb = WOOD) -> None:
    """A bookshelf 1.5 m high, full of books."""
    chance = random.Random(seed)
    spines: tuple[Rgb, ...] = ((204, 92, 84), (232, 168, 84), (98, 142, 176), (120, 160, 106), (158, 118, 172), (240, 226, 196))
    brush.fill(box(-0.5, 0.0, 0.5, 1.55), colour, "bookshelf", bulk=0.12)
    for low in (0.08, 0.56, 1.04):
        brush.fill(box(-0.44, low, 0.44, low + 0.42), darker(colour, 0.42), "bookshelf", over="shelf")
        x = -0.42
        while x < 0.34:
            wide, tall = chance.uniform(0.06, 0.11), chance.uniform(0.26, 0.38)
            if chance.random() < 0.9:
                brush.fill(box(x, low, x + wide - 0.008, low + tall), chance.choice(spines), "books", over="shelf", bulk=0.03)
            x += wide


def draw_floor_lamp(brush: Brush, lit: bool, colour: Rgb = (240, 206, 150)) -> None:
    """A standing lamp, 1.6 m high."""
    brush.fill(round_box(-0.16, 0.0, 0.16, 0.05, 0.02), DARK_WOOD, "lamp", bulk=0.05)
    brush.fill(box(-0.018, 0.04, 0.018, 1.3), DARK_WOOD, "lamp", over="lamp stem", bulk=0.02)
    shade = LAMPLIGHT if lit else colour
    brush.fill([-0.27 + 1.22j, 0.27 + 1.22j, 0.17 + 1.58j, -0.17 + 1.58j], shade, "lamp shade", bulk=0.15, glows=lit)
    brush.fill([-0.27 + 1.22j, 0.27 + 1.22j, 0.26 + 1.26j, -0.26 + 1.26j], darker(shade, 0.14), "lamp shade", over="lamp shade", glows=lit)


def draw_potted_plant(brush: Brush) -> None:
    """A plant in a clay pot."""
    for lean, reach in ((-0.30, 0.62), (0.30, 0.60), (-0.16, 0.80), (0.17, 0.78), (0.0, 0.88)):
        tip = complex(lean * 1.3, reach)
        brush.fill(
            ribbon([0.2j, complex(lean * 0.5, reach * 0.6), tip], [0.03, 0.16, 0.0]),
            mix((86, 150, 92), (136, 186, 110), abs(lean) * 2),
            "plant",
            over=f"leaf {lean}",
            bulk=0.05,
        )
    brush.fill([-0.17 + 0.26j, 0.17 + 0.26j, 0.12, -0.12], (206, 120, 84), "pot", bulk=0.08)
    brush.fill(box(-0.19, 0.24, 0.19, 0.30), (222, 138, 100), "pot", over="pot rim", bulk=0.04)
