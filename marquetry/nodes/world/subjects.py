"""How each subject of the built-in world is drawn, in the unit square that it stands in."""

from collections.abc import Callable

from marquetry.nodes.world.canvas import Canvas
from marquetry.nodes.world.palette import OUTLINE, Rgb, mix, shade

GLASS: Rgb = (196, 234, 250)
LAMP: Rgb = (255, 232, 130)
WOOD: Rgb = (122, 78, 44)


def draw_cat(canvas: Canvas, colour: Rgb, night: bool) -> None:
    """A sitting cat that faces us, with its tail up at the side."""
    canvas.stroke([(0.70, 0.92), (0.88, 0.86), (0.93, 0.66), (0.86, 0.52)], OUTLINE, 0.15)
    canvas.stroke([(0.70, 0.92), (0.88, 0.86), (0.93, 0.66), (0.86, 0.52)], colour, 0.09)
    canvas.ellipse((0.5, 0.76), 0.27, 0.24, colour)
    canvas.ellipse((0.5, 0.82), 0.13, 0.15, mix(colour, (255, 255, 255), 0.45), outlined=False)
    for side in (-1.0, 1.0):
        ear = [(0.5 + side * 0.31, 0.06), (0.5 + side * 0.33, 0.38), (0.5 + side * 0.06, 0.20)]
        canvas.polygon(ear, colour)
    canvas.ellipse((0.5, 0.38), 0.33, 0.26, colour)
    for side in (-1.0, 1.0):
        canvas.ellipse((0.5 + side * 0.14, 0.36), 0.065, 0.075, (255, 246, 170) if night else (255, 255, 255), outlined=False)
        canvas.ellipse((0.5 + side * 0.13, 0.37), 0.035, 0.06, OUTLINE, outlined=False)
    canvas.polygon([(0.45, 0.47), (0.55, 0.47), (0.5, 0.53)], OUTLINE, outlined=False)


def draw_house(canvas: Canvas, colour: Rgb, night: bool) -> None:
    """A house with a gable, a door, two windows and a chimney."""
    canvas.rectangle((0.68, 0.06), (0.80, 0.34), shade(colour, 0.45))
    canvas.rectangle((0.12, 0.44), (0.88, 0.99), colour)
    canvas.polygon([(0.5, 0.03), (1.0, 0.46), (0.0, 0.46)], shade(colour, 0.4))
    canvas.rectangle((0.42, 0.66), (0.60, 0.99), WOOD)
    glass = LAMP if night else GLASS
    canvas.rectangle((0.20, 0.57), (0.34, 0.74), glass)
    canvas.rectangle((0.67, 0.57), (0.81, 0.74), glass)


def draw_car(canvas: Canvas, colour: Rgb, night: bool) -> None:
    """A small round car seen from its side."""
    canvas.polygon([(0.18, 0.60), (0.30, 0.34), (0.66, 0.34), (0.82, 0.60)], colour)
    canvas.polygon([(0.27, 0.58), (0.35, 0.41), (0.47, 0.41), (0.47, 0.58)], GLASS, outlined=False)
    canvas.polygon([(0.52, 0.58), (0.52, 0.41), (0.63, 0.41), (0.73, 0.58)], GLASS, outlined=False)
    body = [(0.0, 0.62), (0.05, 0.57), (0.84, 0.57), (0.97, 0.64), (1.0, 0.84), (0.0, 0.84)]
    canvas.polygon(body, colour)
    canvas.ellipse((0.94, 0.70), 0.045, 0.045, LAMP if night else (255, 250, 220), outlined=False)
    for x in (0.24, 0.76):
        canvas.ellipse((x, 0.85), 0.145, 0.145, OUTLINE)
        canvas.ellipse((x, 0.85), 0.065, 0.065, (206, 206, 212), outlined=False)


def draw_tree(canvas: Canvas, colour: Rgb, night: bool) -> None:
    """A broad tree: a brown trunk under a cloud of coloured leaves."""
    canvas.polygon([(0.42, 0.55), (0.58, 0.55), (0.62, 1.0), (0.38, 1.0)], shade(WOOD) if night else WOOD)
    leaves = [((0.26, 0.46), 0.22), ((0.74, 0.46), 0.22), ((0.34, 0.24), 0.21), ((0.66, 0.24), 0.21), ((0.5, 0.40), 0.27)]
    for centre, radius in leaves:
        canvas.ellipse(centre, radius, radius, colour)
    for centre, radius in leaves:
        canvas.ellipse(centre, radius - 0.03, radius - 0.03, colour, outlined=False)
    for x, y in ((0.30, 0.40), (0.62, 0.22), (0.70, 0.48), (0.47, 0.42)):
        canvas.ellipse((x, y), 0.045, 0.035, shade(colour, 0.28), outlined=False)


def draw_fish(canvas: Canvas, colour: Rgb, night: bool) -> None:
    """A plump fish in the air, as if it had just leapt."""
    canvas.polygon([(0.26, 0.50), (0.0, 0.26), (0.05, 0.50), (0.0, 0.76)], shade(colour, 0.25))
    canvas.polygon([(0.40, 0.30), (0.56, 0.10), (0.72, 0.32)], shade(colour, 0.25))
    canvas.polygon([(0.48, 0.70), (0.54, 0.88), (0.66, 0.70)], shade(colour, 0.25))
    canvas.ellipse((0.58, 0.50), 0.40, 0.27, colour)
    canvas.stroke([(0.66, 0.30), (0.60, 0.42), (0.60, 0.58), (0.66, 0.70)], shade(colour, 0.4), 0.03)
    canvas.ellipse((0.80, 0.44), 0.075, 0.075, (255, 246, 170) if night else (255, 255, 255), outlined=False)
    canvas.ellipse((0.82, 0.44), 0.04, 0.04, OUTLINE, outlined=False)


def draw_boat(canvas: Canvas, colour: Rgb, night: bool) -> None:
    """A sailing boat: a broad hull under two sails, all in the boat's colour."""
    canvas.rectangle((0.475, 0.02), (0.515, 0.74), shade(WOOD) if night else WOOD, outlined=False)
    canvas.polygon([(0.52, 0.04), (0.92, 0.62), (0.52, 0.62)], colour)
    canvas.polygon([(0.46, 0.14), (0.46, 0.62), (0.14, 0.62)], mix(colour, (255, 255, 255), 0.4))
    canvas.polygon([(0.0, 0.70), (1.0, 0.70), (0.82, 0.98), (0.18, 0.98)], colour)
    canvas.stroke([(0.07, 0.78), (0.93, 0.78)], (255, 255, 255), 0.05)


def draw_flower(canvas: Canvas, colour: Rgb, night: bool) -> None:
    """A tall flower with six petals around a brown heart."""
    stem = (24, 92, 52) if night else (38, 134, 52)
    canvas.stroke([(0.5, 0.45), (0.5, 1.0)], stem, 0.08)
    canvas.polygon([(0.5, 0.92), (0.22, 0.68), (0.30, 0.90)], stem, outlined=False)
    canvas.polygon([(0.5, 0.92), (0.78, 0.68), (0.70, 0.90)], stem, outlined=False)
    for x, y in ((0.5, 0.14), (0.69, 0.25), (0.69, 0.46), (0.5, 0.57), (0.31, 0.46), (0.31, 0.25)):
        canvas.ellipse((x, y), 0.155, 0.145, colour)
    canvas.ellipse((0.5, 0.355), 0.13, 0.13, (104, 62, 30))


def draw_rocket(canvas: Canvas, colour: Rgb, night: bool) -> None:
    """A rocket that takes off: a pointed hull, two fins, a round window and its flame."""
    canvas.polygon([(0.38, 0.76), (0.62, 0.76), (0.5, 1.04)], (255, 168, 30), outlined=False)
    canvas.polygon([(0.44, 0.76), (0.56, 0.76), (0.5, 0.92)], (255, 240, 140), outlined=False)
    canvas.polygon([(0.34, 0.50), (0.14, 0.84), (0.36, 0.76)], shade(colour, 0.4))
    canvas.polygon([(0.66, 0.50), (0.86, 0.84), (0.64, 0.76)], shade(colour, 0.4))
    hull = [(0.5, 0.0), (0.60, 0.10), (0.68, 0.26), (0.69, 0.52), (0.64, 0.77), (0.36, 0.77), (0.31, 0.52), (0.32, 0.26), (0.40, 0.10)]
    canvas.polygon(hull, colour)
    canvas.ellipse((0.5, 0.36), 0.095, 0.095, LAMP if night else GLASS)


DRAWINGS: dict[str, Callable[[Canvas, Rgb, bool], None]] = {
    "cat": draw_cat,
    "house": draw_house,
    "car": draw_car,
    "tree": draw_tree,
    "fish": draw_fish,
    "boat": draw_boat,
    "flower": draw_flower,
    "rocket": draw_rocket,
}
