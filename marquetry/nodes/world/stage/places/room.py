"""A cosy room: a papered wall with a window, a rug on a wooden floor, and furniture along the wall."""

from __future__ import annotations

import random
from functools import partial

import numpy

from marquetry.nodes.world.stage.curves import box, ellipse
from marquetry.nodes.world.stage.palette import LAMPLIGHT, WHITE, WOOD, Rgb, darker, lighter, mix
from marquetry.nodes.world.stage.places.interior import draw_picture, draw_potted_plant, draw_window
from marquetry.nodes.world.stage.props.furniture import draw_bookshelf, draw_lamp
from marquetry.nodes.world.stage.sketch import VIEW
from marquetry.nodes.world.stage.theatre import Draw, Theatre, Thing

WALL_Z = 2.4
WALLS: tuple[Rgb, ...] = ((246, 222, 190), (206, 226, 214), (240, 212, 208), (204, 216, 236), (242, 230, 186))
FLOOR: tuple[Rgb, Rgb] = ((206, 156, 108), (190, 138, 92))
CLOTHS: tuple[Rgb, ...] = ((204, 104, 96), (112, 150, 178), (226, 176, 96), (138, 160, 112))


def dress(theatre: Theatre) -> tuple[Rgb, Rgb]:
    """Sets the scenery; returns the ground's colours, far and near."""
    chance = random.Random(theatre.scene.seed ^ 0x4007)
    draw_shell(theatre, chance.choice(WALLS), FLOOR[0], WALL_Z)
    _draw_rug(theatre, chance.choice(CLOTHS))
    side = chance.choice((-1.0, 1.0))
    hang(theatre, "window", side * 0.95, 1.45, partial(draw_window, theatre=theatre, curtain=chance.choice(CLOTHS)))
    painted = chance.choice(CLOTHS)
    hang(theatre, "picture", -side * 0.42, 1.78, partial(draw_picture, colour=painted))
    if chance.random() < 0.7:
        hang(theatre, "picture", side * 0.06, 1.52, partial(draw_picture, colour=darker(painted, 0.2)), 0.7)
    shelf = partial(draw_bookshelf, colour=WOOD, seed=chance.randrange(1000))
    theatre.put(Thing("bookshelf", "scenery"), -side * 1.42, WALL_Z - 0.25, shelf, foot=0.5, height=0.4)
    lamp = partial(draw_lamp, colour=(240, 206, 150), lit=theatre.dark)
    theatre.put(Thing("lamp", "scenery"), side * 1.82, WALL_Z - 0.35, lamp, foot=0.22, height=0.3)
    if theatre.dark:
        theatre.glow(theatre.camera.project(side * 1.82, 1.4, WALL_Z - 0.35), theatre.camera.scale(0, WALL_Z) * 1.2, LAMPLIGHT, 0.55)
    theatre.put(Thing("plant", "scenery"), side * 0.28, WALL_Z - 0.3, draw_potted_plant, foot=0.25, height=0.3)
    return FLOOR


def draw_shell(theatre: Theatre, wall: Rgb, floor: Rgb, wall_z: float, stripes: bool = True) -> None:
    """A back wall with its skirting, and floor boards towards us."""
    camera = theatre.camera
    low = camera.project(camera.aside, 0.0, wall_z)
    distance = camera.distance(camera.aside, wall_z)
    metre = camera.scale(camera.aside, wall_z)
    theatre.flat(box(-8, -8, VIEW + 8, max(low.imag, -7.0)), wall, "wall", distance)
    if stripes:
        first = camera.project(0.0, 0.0, wall_z).real
        paper = mix(wall, WHITE, 0.22)
        pitch = 0.36 * metre
        for stripe in range(int(-first / pitch) - 1, int((VIEW - first) / pitch) + 1):
            left = first + stripe * pitch
            theatre.flat(box(left, -8, left + pitch / 3, max(low.imag, -7.0)), paper, "wall", distance)
    theatre.flat(box(-8, low.imag - 0.14 * metre, VIEW + 8, low.imag), mix(wall, WHITE, 0.6), "skirting", distance)
    if low.imag < VIEW:
        theatre.flat(box(-8, low.imag, VIEW + 8, VIEW + 8), floor, "floor", distance - 0.5, ground=True)
        _draw_boards(theatre, floor, wall_z, distance)


def _draw_boards(theatre: Theatre, floor: Rgb, wall_z: float, distance: float) -> None:
    camera, board = theatre.camera, darker(floor, 0.10)
    front = 0.7 - camera.back
    for plank in range(-12, 13):
        x = plank * 0.32
        near, far = camera.project(x, 0.0, front), camera.project(x, 0.0, wall_z)
        wide, narrow = 0.02 * camera.scale(x, front), 0.012 * camera.scale(x, wall_z)
        theatre.flat(numpy.array([near, near + wide, far + narrow, far]), board, "floor", distance - 0.5, ground=True)


def hang(theatre: Theatre, name: str, x: float, y: float, draw: Draw, size: float = 1.0, wall_z: float = WALL_Z) -> None:
    """Something that hangs on the back wall."""
    theatre.put(Thing(name, "scenery"), x, wall_z - 0.02, draw, y=y, size=size, foot=0.0)


def _draw_rug(theatre: Theatre, colour: Rgb) -> None:
    camera = theatre.camera
    if camera.project(0.0, 0.0, 0.3).imag > VIEW + 60.0:
        return
    for radius, shade in ((1.5, darker(colour, 0.1)), (1.36, lighter(colour, 0.45)), (1.24, colour), (0.72, lighter(colour, 0.25))):
        ring = [
            camera.project(radius * p.real, 0.0, max(0.35 + radius * 0.62 * p.imag, 0.6 - camera.back)) for p in ellipse(0, 1.0, count=36)
        ]
        theatre.flat(numpy.array(ring), shade, "rug", camera.distance(0.0, 0.35), ground=True)
