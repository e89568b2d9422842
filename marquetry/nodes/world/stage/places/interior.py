"""What hangs and stands in rooms: windows, pictures, plants, lamps."""

from __future__ import annotations

from marquetry.nodes.world.stage.curves import arc, box, ellipse, ribbon
from marquetry.nodes.world.stage.light import SKIES
from marquetry.nodes.world.stage.palette import DARK_WOOD, LAMPLIGHT, WHITE, WOOD, Rgb, darker, lighter, mix
from marquetry.nodes.world.stage.sketch import Brush
from marquetry.nodes.world.stage.theatre import Theatre


def draw_window(brush: Brush, theatre: Theatre, curtain: Rgb) -> None:
    """A window a metre wide with the sky of the hour behind it."""
    frame = mix(WOOD, WHITE, 0.75)
    brush.fill(box(-0.56, -0.56, 0.56, 0.56), frame, "window", bulk=0.05)
    draw_view(brush, theatre, 0.49, 0.49)
    brush.fill(box(-0.022, -0.5, 0.022, 0.5), frame, "window", over="window")
    brush.fill(box(-0.5, -0.022, 0.5, 0.022), frame, "window", over="window")
    brush.fill(box(-0.64, -0.64, 0.64, -0.56), mix(WOOD, WHITE, 0.6), "window", over="sill")
    for side in (-1.0, 1.0):
        drape = [complex(side * x, y) for x, y in ((0.72, 0.68), (0.22, 0.68), (0.34, 0.2), (0.52, -0.2), (0.60, -0.62), (0.76, -0.62))]
        brush.fill(drape, curtain, "curtain", over=f"curtain {side}", bulk=0.12)
        for x in (0.46, 0.62):
            brush.fill(
                ribbon([complex(side * x, 0.66), complex(side * (x + 0.06), -0.1)], [0.02, 0.0], 3),
                darker(curtain, 0.2),
                "curtain",
                over=f"curtain {side}",
                bulk=0.12,
            )
    brush.fill(ribbon([-0.8 + 0.69j, 0.8 + 0.69j], [0.05, 0.05], 2), DARK_WOOD, "curtain", over="rod")


def draw_view(brush: Brush, theatre: Theatre, wide: float, tall: float) -> None:
    """What is seen through a window: the sky of the hour, a hill, the moon."""
    sky = SKIES[theatre.scene.time]
    for index, share in enumerate((0.0, 0.25, 0.5, 0.75)):
        low = -tall + tall * 0.5 * index
        brush.fill(box(-wide, low, wide, low + tall * 0.5), mix(sky[2], sky[0], share + 0.1), "window pane", over="window", glows=True)
    if theatre.dark:
        brush.fill(ellipse(complex(wide * 0.45, tall * 0.5), 0.10), (255, 244, 206), "window pane", over="window", glows=True)
        for x, y in ((-0.62, 0.62), (-0.24, 0.2), (0.74, -0.04), (-0.74, -0.2)):
            brush.fill(ellipse(complex(x * wide, y * tall), 0.016, count=8), (255, 248, 220), "window pane", over="window", glows=True)
        return
    for x, y, radius in ((-0.5, 0.32, 0.10), (-0.2, 0.4, 0.12), (0.08, 0.32, 0.09)):
        brush.fill(
            ellipse(complex(x * wide, y * tall), radius, radius * 0.7), mix(sky[2], WHITE, 0.7), "window pane", over="window", glows=True
        )
    hill = arc(complex(-wide * 0.2, -tall * 1.47), wide * 1.43, tall * 0.94, 32.0, 146.0, 14)
    hill = hill.real.clip(-wide, wide) + 1j * hill.imag.clip(-tall, tall)
    brush.fill(
        [complex(wide, -tall), *(complex(point) for point in hill), complex(-wide, -tall)],
        mix((120, 178, 110), sky[1], 0.25),
        "window pane",
        over="window",
        glows=True,
    )


def draw_picture(brush: Brush, colour: Rgb) -> None:
    """A framed landscape."""
    brush.fill(box(-0.26, -0.2, 0.26, 0.2), DARK_WOOD, "picture", bulk=0.04)
    brush.fill(box(-0.22, -0.16, 0.22, 0.16), lighter(colour, 0.7), "picture", over="picture")
    hills = [-0.22 - 0.16j, 0.22 - 0.16j, 0.22 - 0.05j, 0.06 + 0.07j, -0.06 - 0.03j, -0.14 + 0.03j, -0.22 - 0.06j]
    brush.fill(hills, colour, "picture", over="picture")
    brush.fill(ellipse(-0.1 + 0.08j, 0.035), (250, 206, 110), "picture", over="picture")


def draw_potted_plant(brush: Brush) -> None:
    """A plant in a clay pot."""
    for lean, reach in ((-0.30, 0.62), (0.30, 0.60), (-0.16, 0.80), (0.17, 0.78), (0.0, 0.88)):
        tip = complex(lean * 1.3, reach)
        shade = mix((86, 150, 92), (136, 186, 110), abs(lean) * 2)
        brush.fill(ribbon([0.2j, complex(lean * 0.5, reach * 0.6), tip], [0.03, 0.16, 0.0]), shade, "plant", over=f"leaf {lean}", bulk=0.05)
    brush.fill([-0.17 + 0.26j, 0.17 + 0.26j, 0.12, -0.12], (206, 120, 84), "pot", bulk=0.08)
    brush.fill(box(-0.19, 0.24, 0.19, 0.30), (222, 138, 100), "pot", over="pot rim", bulk=0.04)


def draw_hanging_lamp(brush: Brush, lit: bool, colour: Rgb = (206, 104, 84)) -> None:
    """A lamp on a cord from the ceiling; its origin is the bulb."""
    brush.fill(box(-0.012, 0.2, 0.012, 2.0), DARK_WOOD, "cord")
    brush.fill(ellipse(0.02j, 0.09), LAMPLIGHT if lit else (255, 246, 214), "bulb", over="bulb", glows=True)
    brush.fill([*(complex(point) for point in arc(0.02j, 0.28, 0.24, 0.0, 180.0, 14))], colour, "lamp shade", bulk=0.15)


def draw_board(brush: Brush) -> None:
    """A menu board with chalk lines."""
    brush.fill(box(-0.5, -0.36, 0.5, 0.36), WOOD, "board", bulk=0.04)
    brush.fill(box(-0.44, -0.30, 0.44, 0.30), (66, 78, 76), "board", over="board")
    for y, half in ((0.17, 0.22), (0.04, 0.32), (-0.07, 0.28), (-0.18, 0.32)):
        brush.fill(ribbon([complex(-half, y), complex(half, y)], [0.028, 0.028], 2), (232, 232, 222), "board", over="board")
    brush.fill(ellipse(0.34 + 0.19j, 0.06, 0.05), (240, 170, 140), "board", over="board")


def draw_shelf(brush: Brush) -> None:
    """A shelf with cups and jars."""
    brush.fill(box(-0.62, -0.04, 0.62, 0.02), DARK_WOOD, "shelf", bulk=0.03)
    jars: tuple[tuple[float, float, Rgb], ...] = (
        (-0.5, 0.22, (226, 150, 96)),
        (-0.28, 0.16, (240, 236, 226)),
        (-0.08, 0.26, (130, 172, 160)),
        (0.16, 0.16, (240, 236, 226)),
        (0.34, 0.16, (214, 110, 100)),
        (0.52, 0.24, (232, 196, 110)),
    )
    for x, high, colour in jars:
        brush.fill(box(x - 0.075, 0.02, x + 0.075, high), colour, "jars", over=f"jar {x}", bulk=0.05)
        brush.fill(box(x - 0.06, high, x + 0.06, high + 0.04), darker(colour, 0.3), "jars", over=f"jar {x}", bulk=0.05)
