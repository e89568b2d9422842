"""More animals: bird, duck, sheep, horse, frog. Each is drawn one unit high and looks to the right."""

from __future__ import annotations

from marquetry.nodes.world.stage.curves import ellipse, ribbon, smooth, wavy
from marquetry.nodes.world.stage.palette import INK, WHITE, Rgb, darker, lighter, luminance, mix
from marquetry.nodes.world.stage.props.animals import CREAM, NOSE, PINK, deep, draw_eyes, pale
from marquetry.nodes.world.stage.sketch import Brush

BEAK: Rgb = (244, 158, 60)


def _eye(brush: Brush, at: complex, radius: float, over: str = "head") -> None:
    brush.fill(ellipse(at, radius * 0.88, radius, count=16), INK, "eye", over=over)
    brush.fill(ellipse(at + complex(0.26, 0.36) * radius, radius * 0.36, count=10), WHITE, "eye", over=over)


def draw_bird(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A round little bird."""
    for x in (-0.02, 0.12):
        brush.fill(
            ribbon([complex(x, 0.22), complex(x + 0.02, 0.02), complex(x + 0.12, 0.015)], [0.035, 0.03, 0.025], 3),
            darker(BEAK, 0.2),
            "leg",
            bulk=0.02,
        )
    brush.fill(smooth([-0.28 + 0.42j, -0.66 + 0.56j, -0.70 + 0.46j, -0.62 + 0.34j, -0.26 + 0.30j], 5), deep(colour), "tail", bulk=0.08)
    brush.fill(
        smooth(
            [
                0.15 + 0.98j,
                0.38 + 0.90j,
                0.46 + 0.68j,
                0.38 + 0.36j,
                0.08 + 0.17j,
                -0.24 + 0.26j,
                -0.38 + 0.46j,
                -0.20 + 0.70j,
                -0.06 + 0.90j,
            ]
        ),
        colour,
        "body",
        bulk=0.35,
    )
    brush.fill(
        smooth([0.38 + 0.62j, 0.40 + 0.44j, 0.18 + 0.20j, -0.06 + 0.22j, 0.10 + 0.46j]), pale(colour), "breast", over="body", bulk=0.35
    )
    brush.fill(
        smooth([0.06 + 0.60j, 0.10 + 0.42j, -0.16 + 0.28j, -0.46 + 0.36j, -0.46 + 0.36j, -0.22 + 0.54j]), deep(colour), "wing", bulk=0.12
    )
    brush.fill(smooth([0.42 + 0.80j, 0.42 + 0.80j, 0.62 + 0.72j, 0.62 + 0.72j, 0.43 + 0.66j], 4), BEAK, "beak", bulk=0.06)
    _eye(brush, 0.25 + 0.78j, 0.07, "body")
    brush.fill(ellipse(0.30 + 0.64j, 0.06, 0.035), mix(colour, PINK, 0.7), "cheek", over="body")


def draw_duck(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A duck on its feet."""
    for x in (-0.10, 0.10):
        brush.fill(ribbon([complex(x, 0.2), complex(x, 0.03)], [0.05, 0.045], 2), BEAK, "leg", bulk=0.02)
        brush.fill(
            smooth([complex(x - 0.05, 0.0), complex(x + 0.15, 0.0), complex(x + 0.13, 0.05), complex(x, 0.06)], 4),
            BEAK,
            "leg",
            over="foot",
            bulk=0.02,
        )
    body = [
        0.30 + 0.52j,
        0.38 + 0.34j,
        0.20 + 0.14j,
        -0.18 + 0.12j,
        -0.44 + 0.28j,
        -0.62 + 0.56j,
        -0.62 + 0.56j,
        -0.34 + 0.48j,
        0.0 + 0.50j,
    ]
    brush.fill(smooth(body), colour, "body", bulk=0.28)
    brush.fill(
        smooth([0.14 + 0.44j, 0.10 + 0.26j, -0.18 + 0.22j, -0.44 + 0.42j, -0.44 + 0.42j, -0.14 + 0.46j]),
        deep(colour),
        "wing",
        over="wing",
        bulk=0.15,
    )
    brush.fill(ribbon([0.22 + 0.40j, 0.24 + 0.62j, 0.24 + 0.78j], [0.26, 0.18, 0.20]), colour, "body", over="body", bulk=0.28)
    brush.fill(smooth([0.42 + 0.82j, 0.42 + 0.82j, 0.66 + 0.74j, 0.66 + 0.68j, 0.42 + 0.66j], 4), BEAK, "beak", bulk=0.06)
    brush.fill(ellipse(0.26 + 0.80j, 0.21, 0.20), colour, "head", bulk=0.2)
    _eye(brush, 0.32 + 0.85j, 0.052)
    brush.fill(ellipse(0.30 + 0.72j, 0.05, 0.03), mix(colour, PINK, 0.6), "cheek", over="head")


def draw_sheep(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A woolly sheep."""
    face = (84, 72, 78) if luminance(colour) > 0.4 else (222, 206, 192)
    for x in (-0.34, -0.12, 0.12, 0.32):
        brush.fill(
            ribbon([complex(x, 0.34), complex(x, 0.03)], [0.10, 0.085], 3),
            darker(face, 0.1 if x in (-0.34, 0.12) else 0.0),
            "leg",
            over=f"leg {x}",
            bulk=0.05,
        )
    corners = [complex(point) for point in ellipse(-0.02 + 0.54j, 0.52, 0.34, count=13)]
    brush.fill(
        [complex(point) for a, b in zip(corners, corners[1:] + corners[:1], strict=True) for point in wavy(a, b, 1, -0.085)],
        colour,
        "wool",
        bulk=0.35,
    )
    for at in (-0.3 + 0.6j, -0.05 + 0.45j, -0.12 + 0.72j, 0.16 + 0.66j, -0.32 + 0.4j):
        brush.fill(ribbon([at + 0.07, at + 0.06j, at - 0.06, at - 0.03j], [0.022] * 4, 4), deep(colour), "wool", over="wool", bulk=0.35)
    for side, x in ((-1.0, 0.30), (1.0, 0.62)):
        brush.fill(ellipse(complex(x, 0.74), 0.12, 0.055, side * 22.0), darker(face, 0.1), "ear", over=f"ear {side}", bulk=0.05)
    brush.fill(
        smooth([0.46 + 0.90j, 0.60 + 0.84j, 0.63 + 0.66j, 0.54 + 0.50j, 0.40 + 0.50j, 0.31 + 0.66j, 0.34 + 0.84j]), face, "head", bulk=0.18
    )
    for at, radius in ((0.36 + 0.88j, 0.09), (0.48 + 0.93j, 0.11), (0.59 + 0.87j, 0.08)):
        brush.fill(ellipse(at, radius), colour, "wool", over="tuft", bulk=0.1)
    for x in (0.41, 0.54):
        brush.fill(ellipse(complex(x, 0.72), 0.048, 0.055, count=14), WHITE, "eye", over="head")
        brush.fill(ellipse(complex(x + 0.008, 0.715), 0.027, 0.034, count=12), INK, "eye", over="head")
    brush.fill(ribbon([0.43 + 0.57j, 0.475 + 0.545j, 0.52 + 0.57j], [0.018] * 3, 3), mix(face, PINK, 0.5), "nose", over="head")


def draw_horse(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A horse that stands and looks round."""
    dark = mix(colour, (70, 48, 46), 0.62) if luminance(colour) > 0.3 else lighter(colour, 0.25)
    hoof = (74, 60, 62)
    for x, shade in ((-0.26, deep(colour)), (0.22, deep(colour)), (-0.36, colour), (0.13, colour)):
        brush.fill(
            ribbon([complex(x, 0.44), complex(x + 0.01, 0.22), complex(x, 0.04)], [0.13, 0.075, 0.07], 4),
            shade,
            "leg",
            over=f"leg {x}",
            bulk=0.06,
        )
        brush.fill(
            [complex(x - 0.042, 0.055), complex(x + 0.042, 0.055), complex(x + 0.055, 0.0), complex(x - 0.05, 0.0)],
            hoof,
            "hoof",
            over=f"leg {x}",
            bulk=0.04,
        )
    brush.fill(ribbon([-0.40 + 0.60j, -0.54 + 0.52j, -0.56 + 0.30j, -0.52 + 0.16j], [0.08, 0.13, 0.12, 0.02]), dark, "tail", bulk=0.05)
    brush.fill(
        smooth([-0.44 + 0.56j, -0.34 + 0.66j, 0.0 + 0.62j, 0.24 + 0.64j, 0.30 + 0.48j, 0.18 + 0.36j, -0.16 + 0.35j, -0.42 + 0.40j]),
        colour,
        "body",
        bulk=0.2,
    )
    brush.fill(
        smooth([0.08 + 0.58j, 0.22 + 0.84j, 0.34 + 0.92j, 0.46 + 0.82j, 0.36 + 0.66j, 0.30 + 0.46j, 0.14 + 0.46j]),
        colour,
        "body",
        over="body",
        bulk=0.2,
    )
    brush.fill(
        smooth([0.33 + 0.96j, 0.48 + 0.92j, 0.62 + 0.76j, 0.66 + 0.66j, 0.58 + 0.60j, 0.48 + 0.66j, 0.33 + 0.76j]),
        colour,
        "head",
        bulk=0.12,
    )
    brush.fill(smooth([0.59 + 0.75j, 0.66 + 0.67j, 0.59 + 0.60j, 0.52 + 0.65j], 4), pale(colour), "muzzle", over="head", bulk=0.12)
    brush.fill(ellipse(0.625 + 0.68j, 0.012, 0.014, count=8), NOSE, "muzzle", over="head")
    _eye(brush, 0.46 + 0.815j, 0.036)
    for x in (0.33, 0.40):
        brush.fill(
            smooth([complex(x - 0.03, 0.93), complex(x + 0.01, 1.03), complex(x + 0.01, 1.03), complex(x + 0.045, 0.92)], 4),
            colour,
            "ear",
            over=f"ear {x}",
            bulk=0.04,
        )
    brush.fill(
        smooth(
            [0.42 + 0.98j, 0.34 + 0.98j, 0.22 + 0.90j, 0.10 + 0.72j, 0.04 + 0.56j, 0.16 + 0.60j, 0.24 + 0.78j, 0.36 + 0.90j, 0.44 + 0.88j]
        ),
        dark,
        "mane",
        bulk=0.07,
    )


def draw_frog(brush: Brush, colour: Rgb, seed: int = 0) -> None:
    """A frog that sits and smiles."""
    for side in (-1.0, 1.0):
        brush.fill(
            smooth([complex(side * 0.30, 0.34), complex(side * 0.62, 0.30), complex(side * 0.66, 0.06), complex(side * 0.30, 0.02)], 5),
            deep(colour),
            "leg",
            over=f"leg {side}",
            bulk=0.12,
        )
        brush.fill(ellipse(side * 0.52 + 0.04j, 0.19, 0.05), colour, "foot", over=f"foot {side}", bulk=0.05)
    brush.fill(
        smooth([0.62j, 0.32 + 0.50j, 0.40 + 0.22j, 0.28 + 0.02j, -0.28 + 0.02j, -0.40 + 0.22j, -0.32 + 0.50j]), colour, "body", bulk=0.3
    )
    brush.fill(ellipse(0.20j, 0.25, 0.18), pale(colour), "belly", over="body", bulk=0.3)
    for side in (-1.0, 1.0):
        brush.fill(ribbon([side * 0.14 + 0.22j, side * 0.16 + 0.03j], [0.10, 0.13], 3), colour, "foot", over=f"hand {side}", bulk=0.05)
        brush.fill(ellipse(side * 0.28 + 0.83j, 0.165), colour, "head", over="head", bulk=0.3)
    brush.fill(
        smooth([0.84j, 0.34 + 0.80j, 0.50 + 0.60j, 0.38 + 0.42j, 0.37j, -0.38 + 0.42j, -0.50 + 0.60j, -0.34 + 0.80j]),
        colour,
        "head",
        over="head",
        bulk=0.3,
    )
    for side in (-1.0, 1.0):
        brush.fill(ellipse(side * 0.28 + 0.845j, 0.115), CREAM, "eye", over="head")
    draw_eyes(brush, 0.845j, 0.28, 0.082)
    for side in (-1.0, 1.0):
        brush.fill(ellipse(side * 0.34 + 0.56j, 0.07, 0.045), mix(colour, PINK, 0.6), "cheek", over="head")
    brush.fill(
        ribbon([-0.28 + 0.58j, -0.14 + 0.50j, 0.14 + 0.50j, 0.28 + 0.58j], [0.024] * 4, 5), darker(colour, 0.55), "mouth", over="head"
    )
