"""How each setting of the built-in world is drawn: sky, what stands on the horizon, and ground."""

import random
from collections.abc import Callable

from marquetry.nodes.world.canvas import Canvas
from marquetry.nodes.world.palette import GROUND, SKY, by_time, mix

HORIZON = 0.62
STARS = ((0.06, 0.10), (0.17, 0.27), (0.28, 0.07), (0.42, 0.15), (0.56, 0.05), (0.66, 0.20), (0.93, 0.33), (0.05, 0.40))
BLOSSOMS = ((0.06, 0.74), (0.15, 0.90), (0.30, 0.80), (0.44, 0.95), (0.62, 0.76), (0.72, 0.92), (0.84, 0.80), (0.95, 0.94))


def draw_sky(canvas: Canvas, setting: str, time_of_day: str, draw: random.Random, mirrored: bool) -> None:
    """The sky with a sun and clouds, or with a moon and stars, in the corner away from the light."""
    sky = SKY[setting][time_of_day]
    canvas.rectangle((0.0, 0.0), (1.0, 1.0), sky)
    x = 0.14 if mirrored else 0.86
    if time_of_day == "night":
        for star_x, star_y in STARS:
            canvas.ellipse((1.0 - star_x if mirrored else star_x, star_y), 0.013, 0.013, (236, 236, 220))
        canvas.ellipse((x, 0.14), 0.085, 0.085, (250, 244, 206))
        canvas.ellipse((x - 0.04, 0.12), 0.07, 0.07, sky)
        return
    canvas.ellipse((x, 0.14), 0.10, 0.10, (255, 214, 64))
    left = (1.0 - x) + draw.uniform(-0.03, 0.03)
    for offset, radius in ((-0.08, 0.05), (0.0, 0.07), (0.08, 0.05)):
        canvas.ellipse((left + offset, 0.15), radius * 1.2, radius * 0.8, mix(sky, (255, 255, 255), 0.85))


def draw_field(canvas: Canvas, time_of_day: str, draw: random.Random) -> None:
    """Round green hills behind a meadow with a few blossoms."""
    ground = GROUND["field"][time_of_day]
    canvas.ellipse((0.22, 0.72), 0.42, 0.22, mix(ground, (20, 90, 90), 0.25))
    canvas.ellipse((0.84, 0.74), 0.42, 0.20, mix(ground, (20, 90, 90), 0.18))
    canvas.rectangle((0.0, HORIZON), (1.0, 1.0), ground)
    drift = draw.uniform(-0.03, 0.03)
    for x, y in BLOSSOMS:
        canvas.ellipse((x + drift, y), 0.015, 0.015, by_time((255, 250, 200), time_of_day))


def draw_beach(canvas: Canvas, time_of_day: str, draw: random.Random) -> None:
    """A band of sea with foam, then sand."""
    canvas.rectangle((0.0, 0.46), (1.0, HORIZON + 0.08), by_time((32, 150, 200), time_of_day))
    shore = HORIZON + 0.05
    canvas.rectangle((0.0, shore), (1.0, 1.0), GROUND["beach"][time_of_day])
    canvas.rectangle((0.0, shore - 0.015), (1.0, shore + 0.015), by_time((250, 252, 252), time_of_day))
    drift = draw.uniform(-0.05, 0.05)
    for x, y in ((0.15, 0.51), (0.50, 0.57), (0.86, 0.52)):
        canvas.stroke([(x + drift - 0.05, y), (x + drift + 0.05, y)], by_time((150, 216, 236), time_of_day), 0.012)


def draw_forest(canvas: Canvas, time_of_day: str, draw: random.Random) -> None:
    """Two rows of dark firs above a shadowy floor."""
    for row, (height, green) in enumerate(((0.42, (66, 132, 96)), (0.34, (28, 88, 56)))):
        for index in range(7):
            x = (index + 0.5 * row) / 6.0 + draw.uniform(-0.02, 0.02)
            top = HORIZON + 0.04 - height + draw.uniform(-0.03, 0.03)
            canvas.polygon([(x - 0.11, HORIZON + 0.06), (x, top), (x + 0.11, HORIZON + 0.06)], by_time(green, time_of_day))
    canvas.rectangle((0.0, HORIZON + 0.03), (1.0, 1.0), GROUND["forest"][time_of_day])


def draw_snow(canvas: Canvas, time_of_day: str, draw: random.Random) -> None:
    """Grey peaks with white caps above a snowfield."""
    for x, top in ((0.20, 0.26), (0.80, 0.22), (0.50, 0.36)):
        peak, left = top + draw.uniform(-0.02, 0.02), x - 0.34
        canvas.polygon([(left, 0.68), (x, peak), (x + 0.34, 0.68)], by_time((116, 134, 168), time_of_day))
        cap = peak + 0.13
        share = 0.34 * 0.13 / (0.68 - peak)
        points = [(x, peak), (x + share, cap), (x + share / 3, cap - 0.03), (x - share / 3, cap + 0.01), (x - share, cap)]
        canvas.polygon(points, by_time((250, 252, 255), time_of_day))
    canvas.rectangle((0.0, HORIZON), (1.0, 1.0), GROUND["snow"][time_of_day])


def draw_city(canvas: Canvas, time_of_day: str, draw: random.Random) -> None:
    """A skyline with windows, a pavement and a road with its white line."""
    window = (255, 222, 110) if time_of_day == "night" else (206, 226, 240)
    walls = ((150, 120, 116), (110, 122, 148), (172, 152, 132))
    shift = draw.randrange(2)
    for index in range(6):
        left = index / 6.0
        top = (0.22, 0.34, 0.28, 0.40, 0.25, 0.31)[(index + shift) % 6]
        canvas.rectangle((left, top), (left + 1 / 6.0, 0.70), by_time(walls[index % 3], time_of_day))
        for row in range(4):
            for column in (0.035, 0.105):
                y = top + 0.05 + row * 0.085
                if y < 0.60:
                    canvas.rectangle((left + column, y), (left + column + 0.03, y + 0.04), window)
    canvas.rectangle((0.0, HORIZON + 0.02), (1.0, 1.0), mix(GROUND["city"][time_of_day], (255, 255, 255), 0.25))
    canvas.rectangle((0.0, HORIZON + 0.08), (1.0, 1.0), GROUND["city"][time_of_day])
    for index in range(4):
        canvas.rectangle((index * 0.28, 0.94), (index * 0.28 + 0.14, 0.965), by_time((250, 250, 240), time_of_day))


def draw_desert(canvas: Canvas, time_of_day: str, draw: random.Random) -> None:
    """Dunes and two cacti."""
    ground = GROUND["desert"][time_of_day]
    canvas.ellipse((0.20, 0.74), 0.46, 0.24, mix(ground, (150, 70, 40), 0.22))
    canvas.ellipse((0.86, 0.78), 0.44, 0.24, mix(ground, (150, 70, 40), 0.12))
    canvas.rectangle((0.0, HORIZON + 0.06), (1.0, 1.0), ground)
    cactus = by_time((50, 128, 74), time_of_day)
    for x in (0.09 + draw.uniform(-0.02, 0.02), 0.92 + draw.uniform(-0.02, 0.02)):
        canvas.stroke([(x, 0.40), (x, 0.74)], cactus, 0.055)
        canvas.stroke([(x - 0.065, 0.47), (x - 0.065, 0.57), (x, 0.57)], cactus, 0.035)
        canvas.stroke([(x + 0.065, 0.43), (x + 0.065, 0.53), (x, 0.53)], cactus, 0.035)


SETTINGS_DRAWN: dict[str, Callable[[Canvas, str, random.Random], None]] = {
    "field": draw_field,
    "beach": draw_beach,
    "forest": draw_forest,
    "snow": draw_snow,
    "city": draw_city,
    "desert": draw_desert,
}
