"""Small animals: cat, dog, rabbit, fox, bear. Each is drawn one unit high and faces us, a little to the right."""

from __future__ import annotations

from marquetry.nodes.world.stage.curves import ellipse, ribbon, smooth
from marquetry.nodes.world.stage.palette import INK, WHITE, Rgb, darker, lighter, luminance, mix
from marquetry.nodes.world.stage.sketch import Brush

NOSE: Rgb = (84, 58, 62)
PINK: Rgb = (242, 168, 170)
CREAM: Rgb = (255, 246, 230)


def pale(colour: Rgb) -> Rgb:
    """The colour of a belly or muzzle."""
    return mix(colour, CREAM, 0.72) if luminance(colour) < 0.85 else mix(colour, (226, 214, 208), 0.35)


def deep(colour: Rgb) -> Rgb:
    """The colour of what lies behind."""
    return darker(colour, 0.16) if luminance(colour) > 0.3 else lighter(colour, 0.10)


def draw_eyes(brush: Brush, at: complex, apart: float, radius: float, over: str = "head") -> None:
    """Two dark shining eyes."""
    for side in (-1.0, 1.0):
        eye = at + side * apart
        brush.fill(ellipse(eye, radius * 0.86, radius, count=16), INK, "eye", over=over)
        brush.fill(ellipse(eye + complex(-0.28, 0.36) * radius, radius * 0.36, count=10), WHITE, "eye", over=over)
        brush.fill(ellipse(eye + complex(0.3, -0.4) * radius, radius * 0.17, count=8), (200, 196, 214), "eye", over=over)


def draw_muzzle(brush: Brush, at: complex, radius: float, colour: Rgb, nose: Rgb = NOSE, smile: bool = True) -> None:
    """A pale muzzle with nose and mouth."""
    brush.fill(ellipse(at, radius, radius * 0.72), colour, "muzzle", over="head")
    brush.fill(
        smooth([at + complex(-0.34, 0.5) * radius, at + complex(0.34, 0.5) * radius, at + complex(0, 0.05) * radius], 4),
        nose,
        "nose",
        over="head",
    )
    if smile:
        for side in (-1.0, 1.0):
            path = [at + 0.08j * radius, at + complex(side * 0.22, -0.26) * radius, at + complex(side * 0.52, -0.12) * radius]
            brush.fill(ribbon(path, [radius * 0.13] * 3, 4), mix(NOSE, colour, 0.15), "muzzle", over="head")


def draw_cat(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A sitting cat with its tail up."""
    back = deep(colour)
    brush.fill(ribbon([0.20 + 0.06j, 0.42 + 0.08j, 0.50 + 0.30j, 0.40 + 0.48j], [0.11, 0.12, 0.11, 0.10]), back, "tail", bulk=0.06)
    brush.fill(
        smooth([0.56j, 0.17 + 0.46j, 0.27 + 0.20j, 0.25 + 0.02j, -0.25 + 0.02j, -0.27 + 0.20j, -0.17 + 0.46j]), colour, "body", bulk=0.2
    )
    brush.fill(ellipse(0.28j, 0.11, 0.19), pale(colour), "body", over="body", bulk=0.2)
    for side in (-1.0, 1.0):
        brush.fill(ellipse(side * 0.20 + 0.06j, 0.12, 0.075), colour, "paw", over=f"haunch {side}", bulk=0.08)
        brush.fill(ribbon([side * 0.07 + 0.28j, side * 0.075 + 0.06j], [0.09, 0.11], 3), colour, "paw", over=f"paw {side}", bulk=0.06)
    for side in (-1.0, 1.0):
        tip = complex(side * 0.25, 1.0)
        brush.fill(smooth([complex(side * 0.28, 0.72), tip, tip, complex(side * 0.07, 0.88)], 4), colour, "ear", over="head", bulk=0.1)
        brush.fill(
            smooth([complex(side * 0.25, 0.78), tip - 0.05j, tip - 0.05j, complex(side * 0.12, 0.86)], 4),
            PINK,
            "ear",
            over="head",
            bulk=0.1,
        )
    brush.fill(
        smooth([0.90j, 0.22 + 0.84j, 0.33 + 0.66j, 0.24 + 0.50j, 0.45j, -0.24 + 0.50j, -0.33 + 0.66j, -0.22 + 0.84j]),
        colour,
        "head",
        bulk=0.28,
    )
    for at in (-0.09, 0.0, 0.09):
        brush.fill(ribbon([at + 0.88j, at * 0.8 + 0.79j], [0.045, 0.0], 3), back, "head", over="head", bulk=0.28)
    draw_eyes(brush, 0.015 + 0.68j, 0.135, 0.062)
    draw_muzzle(brush, 0.015 + 0.565j, 0.10, pale(colour), (226, 124, 130))
    for side in (-1.0, 1.0):
        for lean in (-0.012, 0.03):
            brush.fill(
                ribbon([complex(side * 0.16, 0.57 + lean * 0.5), complex(side * 0.36, 0.57 + lean * 1.6)], [0.012, 0.004], 2),
                mix(CREAM, INK, 0.25),
                "whiskers",
                over="head",
            )
    brush.fill(ribbon([-0.17 + 0.47j, 0.425j, 0.17 + 0.47j], [0.05, 0.055, 0.05]), (206, 74, 74), "collar", over="collar", bulk=0.03)
    brush.fill(ellipse(0.405j, 0.035), (250, 210, 96), "collar", over="bell", bulk=0.03)


def draw_dog(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A sitting dog with hanging ears and its tongue out."""
    back = deep(colour)
    brush.fill(ribbon([-0.20 + 0.10j, -0.36 + 0.20j, -0.40 + 0.40j], [0.10, 0.09, 0.05]), back, "tail", bulk=0.05)
    brush.fill(
        smooth([0.60j, 0.18 + 0.48j, 0.26 + 0.20j, 0.26 + 0.02j, -0.26 + 0.02j, -0.28 + 0.20j, -0.18 + 0.48j]), colour, "body", bulk=0.2
    )
    brush.fill(smooth([0.48j, 0.12 + 0.34j, 0.08 + 0.16j, -0.08 + 0.16j, -0.12 + 0.34j]), pale(colour), "body", over="body", bulk=0.2)
    for side in (-1.0, 1.0):
        brush.fill(ellipse(side * 0.21 + 0.06j, 0.12, 0.075), colour, "paw", over=f"haunch {side}", bulk=0.08)
        brush.fill(ribbon([side * 0.08 + 0.30j, side * 0.085 + 0.06j], [0.10, 0.12], 3), colour, "paw", over=f"paw {side}", bulk=0.06)
    brush.fill(
        smooth([0.96j, 0.20 + 0.90j, 0.30 + 0.70j, 0.22 + 0.52j, 0.46j, -0.22 + 0.52j, -0.30 + 0.70j, -0.20 + 0.90j]),
        colour,
        "head",
        bulk=0.28,
    )
    brush.fill(smooth([0.95j, 0.06 + 0.86j, 0.05 + 0.66j, -0.05 + 0.66j, -0.06 + 0.86j]), pale(colour), "head", over="head", bulk=0.28)
    draw_eyes(brush, 0.015 + 0.72j, 0.125, 0.056)
    brush.fill(smooth([0.02 + 0.54j, 0.075 + 0.54j, 0.07 + 0.43j, 0.03 + 0.43j], 4), (236, 120, 128), "tongue", over="head")
    draw_muzzle(brush, 0.015 + 0.60j, 0.135, pale(colour))
    for side in (-1.0, 1.0):
        ear = [
            complex(side * 0.16, 0.92),
            complex(side * 0.30, 0.90),
            complex(side * 0.40, 0.70),
            complex(side * 0.36, 0.52),
            complex(side * 0.26, 0.58),
            complex(side * 0.24, 0.76),
        ]
        brush.fill(smooth(ear), deep(back), "ear", bulk=0.1)
    brush.fill(ribbon([-0.16 + 0.49j, 0.445j, 0.16 + 0.49j], [0.05, 0.055, 0.05]), (70, 120, 190), "collar", over="collar", bulk=0.03)


def draw_rabbit(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A sitting rabbit with long ears."""
    brush.fill(ellipse(-0.25 + 0.12j, 0.10), lighter(colour, 0.5), "tail", bulk=0.1)
    brush.fill(
        smooth([0.46j, 0.17 + 0.36j, 0.25 + 0.16j, 0.22 + 0.01j, -0.22 + 0.01j, -0.25 + 0.16j, -0.17 + 0.36j]), colour, "body", bulk=0.2
    )
    brush.fill(ellipse(0.18j, 0.13, 0.14), pale(colour), "body", over="body", bulk=0.2)
    for side in (-1.0, 1.0):
        ear = [
            complex(side * 0.05, 0.60),
            complex(side * 0.04, 0.82),
            complex(side * 0.10, 1.0),
            complex(side * 0.19, 0.96),
            complex(side * 0.20, 0.76),
            complex(side * 0.15, 0.60),
        ]
        brush.fill(smooth(ear), colour, "ear", over=f"ear {side}", bulk=0.07)
        brush.fill(
            smooth([point + (complex(side * 0.12, 0.80) - point) * 0.42 for point in ear]), PINK, "ear", over=f"ear {side}", bulk=0.07
        )
        brush.fill(ellipse(side * 0.17 + 0.035j, 0.12, 0.055), colour, "paw", over=f"foot {side}", bulk=0.06)
        brush.fill(ellipse(side * 0.07 + 0.18j, 0.05, 0.08), colour, "paw", over=f"paw {side}", bulk=0.05)
    brush.fill(
        smooth([0.70j, 0.20 + 0.64j, 0.26 + 0.48j, 0.18 + 0.35j, 0.32j, -0.18 + 0.35j, -0.26 + 0.48j, -0.20 + 0.64j]),
        colour,
        "head",
        bulk=0.25,
    )
    draw_eyes(brush, 0.01 + 0.51j, 0.12, 0.05)
    for side in (-1.0, 1.0):
        brush.fill(ellipse(side * 0.18 + 0.42j, 0.05, 0.03), PINK, "cheek", over="head")
    draw_muzzle(brush, 0.01 + 0.41j, 0.085, pale(colour), (226, 124, 130))


def draw_fox(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A sitting fox with a big white-tipped tail."""
    tail = [0.12 + 0.04j, 0.40 + 0.02j, 0.58 + 0.20j, 0.56 + 0.44j, 0.44 + 0.58j, 0.40 + 0.40j, 0.30 + 0.24j]
    brush.fill(smooth(tail), colour, "tail", bulk=0.12)
    brush.fill(
        smooth([0.57 + 0.38j, 0.56 + 0.46j, 0.44 + 0.58j, 0.44 + 0.58j, 0.405 + 0.46j, 0.47 + 0.43j]), CREAM, "tail", over="tail", bulk=0.12
    )
    brush.fill(
        smooth([0.56j, 0.16 + 0.46j, 0.23 + 0.20j, 0.22 + 0.02j, -0.22 + 0.02j, -0.23 + 0.20j, -0.16 + 0.46j]), colour, "body", bulk=0.2
    )
    brush.fill(smooth([0.50j, 0.12 + 0.40j, 0.06 + 0.16j, -0.06 + 0.16j, -0.12 + 0.40j]), CREAM, "body", over="body", bulk=0.2)
    socks = mix(colour, (66, 44, 46), 0.7)
    for side in (-1.0, 1.0):
        brush.fill(ribbon([side * 0.07 + 0.26j, side * 0.075 + 0.05j], [0.085, 0.10], 3), socks, "paw", over=f"paw {side}", bulk=0.06)
        ear = [complex(side * 0.30, 0.70), complex(side * 0.29, 1.0), complex(side * 0.29, 1.0), complex(side * 0.06, 0.84)]
        brush.fill(smooth(ear, 4), colour, "ear", over="head", bulk=0.1)
        brush.fill(smooth([point + (complex(side * 0.22, 0.82) - point) * 0.42 for point in ear], 4), socks, "ear", over="head", bulk=0.1)
    head = [
        0.89j,
        0.20 + 0.84j,
        0.31 + 0.70j,
        0.36 + 0.56j,
        0.36 + 0.56j,
        0.18 + 0.50j,
        0.43j,
        -0.18 + 0.50j,
        -0.36 + 0.56j,
        -0.36 + 0.56j,
        -0.31 + 0.70j,
        -0.20 + 0.84j,
    ]
    brush.fill(smooth(head), colour, "head", bulk=0.26)
    for side in (-1.0, 1.0):
        brush.fill(
            smooth(
                [
                    complex(side * 0.34, 0.57),
                    complex(side * 0.34, 0.57),
                    complex(side * 0.20, 0.66),
                    complex(side * 0.03, 0.56),
                    0.45j,
                    complex(side * 0.16, 0.515),
                ],
                4,
            ),
            CREAM,
            "cheek",
            over="head",
            bulk=0.26,
        )
    draw_eyes(brush, 0.685j, 0.125, 0.052)
    brush.fill(ellipse(0.525j, 0.042, 0.034, count=14), NOSE, "nose", over="head")
    brush.fill(ribbon([-0.06 + 0.475j, 0.46j, 0.06 + 0.475j], [0.014] * 3, 3), NOSE, "muzzle", over="head")


def draw_bear(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A bear that sits upright."""
    for side in (-1.0, 1.0):
        brush.fill(
            ribbon([complex(side * 0.20, 0.46), complex(side * 0.34, 0.30), complex(side * 0.32, 0.18)], [0.16, 0.15, 0.14]),
            deep(colour),
            "arm",
            over=f"arm {side}",
            bulk=0.08,
        )
    brush.fill(
        smooth([0.60j, 0.24 + 0.50j, 0.33 + 0.24j, 0.26 + 0.02j, -0.26 + 0.02j, -0.33 + 0.24j, -0.24 + 0.50j]), colour, "body", bulk=0.28
    )
    brush.fill(ellipse(0.26j, 0.20, 0.21), pale(colour), "belly", over="body", bulk=0.28)
    for side in (-1.0, 1.0):
        brush.fill(ellipse(side * 0.26 + 0.08j, 0.135, 0.11), colour, "foot", over=f"foot {side}", bulk=0.1)
        brush.fill(ellipse(side * 0.27 + 0.08j, 0.075, 0.062), pale(colour), "foot", over=f"foot {side}", bulk=0.1)
        brush.fill(ellipse(side * 0.23 + 0.94j, 0.10), colour, "ear", over=f"ear {side}", bulk=0.08)
        brush.fill(ellipse(side * 0.23 + 0.94j, 0.055), mix(pale(colour), PINK, 0.4), "ear", over=f"ear {side}", bulk=0.08)
    brush.fill(
        smooth([1.0j, 0.24 + 0.94j, 0.33 + 0.74j, 0.22 + 0.56j, 0.52j, -0.22 + 0.56j, -0.33 + 0.74j, -0.24 + 0.94j]),
        colour,
        "head",
        bulk=0.3,
    )
    draw_eyes(brush, 0.01 + 0.78j, 0.13, 0.045)
    draw_muzzle(brush, 0.01 + 0.655j, 0.135, pale(colour))
