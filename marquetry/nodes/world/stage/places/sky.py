"""What is in the sky: sun, moon, stars and clouds."""

from __future__ import annotations

import random

from marquetry.nodes.world.stage.backdrop import sun_place
from marquetry.nodes.world.stage.curves import Shape, ellipse, smooth
from marquetry.nodes.world.stage.palette import Rgb, mix
from marquetry.nodes.world.stage.sketch import VIEW
from marquetry.nodes.world.stage.theatre import Theatre

FAR = 500.0
CLOUDS: dict[str, tuple[Rgb, Rgb]] = {
    "day": ((255, 255, 255), (218, 232, 244)),
    "sunset": ((255, 214, 186), (226, 146, 148)),
    "night": ((84, 94, 146), (60, 70, 120)),
}
DULL_CLOUDS: dict[str, tuple[Rgb, Rgb]] = {
    "day": ((226, 232, 238), (176, 190, 204)),
    "sunset": ((222, 184, 178), (164, 132, 150)),
    "night": ((66, 74, 106), (48, 56, 86)),
}


def draw_sky(theatre: Theatre) -> None:
    """Sun, moon, stars and clouds of the scene's time and weather."""
    scene = theatre.scene
    chance = random.Random(scene.seed ^ 0x5C1)
    if scene.time == "night" and scene.weather in ("clear", "snow"):
        _draw_stars(theatre, chance)
    place = sun_place(theatre)
    if place is not None:
        _draw_sun(theatre, place)
    count = {"clear": 3, "clouds": 8, "rain": 8, "snow": 5, "fog": 0}[scene.weather]
    for index in range(count):
        x = (chance.uniform(-0.2, 1.2) + scene.drift + index * 0.37) % 1.4 - 0.2
        height = chance.uniform(0.10, 0.72) if scene.weather in ("clear", "snow") else chance.uniform(0.02, 0.6)
        size = chance.uniform(16, 34) if scene.weather in ("clear", "snow") else chance.uniform(28, 52)
        y = theatre.camera.horizon * height
        _draw_cloud(
            theatre, complex(x * VIEW - theatre.camera.yaw * 3.0, y), size * (0.6 + 0.4 * (1 - height)), random.Random(chance.random())
        )


def _draw_stars(theatre: Theatre, chance: random.Random) -> None:
    for _ in range(34):
        at = complex(chance.uniform(0, VIEW), chance.uniform(0, max(theatre.camera.horizon * 0.9, 1.0)))
        radius = chance.choice((0.7, 0.8, 1.0, 1.5))
        star: Shape = ellipse(at, radius, count=8)
        if radius > 1.2:
            star = [at + 3.0j, at + 0.7 + 0.7j, at + 3.0, at + 0.7 - 0.7j, at - 3.0j, at - 0.7 - 0.7j, at - 3.0, at - 0.7 + 0.7j]
        theatre.flat(star, (255, 248, 214), "stars", FAR, glows=True)


def _draw_sun(theatre: Theatre, place: complex) -> None:
    time = theatre.scene.time
    if time == "night":
        theatre.flat(ellipse(place, 15.0, count=36), (255, 246, 214), "moon", FAR, glows=True)
        for at, radius in ((place + complex(-4, -3), 3.2), (place + complex(5, 4), 2.4), (place + complex(2, -7), 1.6)):
            theatre.flat(ellipse(at, radius, count=16), (240, 226, 188), "moon", FAR, glows=True)
        theatre.glow(place, 44.0, (200, 214, 255), 0.35, False)
        return
    radius, colour = (15.0, (255, 240, 178)) if time == "day" else (20.0, (255, 226, 150))
    theatre.flat(ellipse(place, radius, count=40), colour, "sun", FAR, glows=True)
    theatre.glow(place, 58.0, (255, 236, 180) if time == "day" else (255, 196, 120), 0.5, False)


def _draw_cloud(theatre: Theatre, at: complex, size: float, chance: random.Random) -> None:
    bright, shade = (CLOUDS if theatre.scene.weather in ("clear", "snow") else DULL_CLOUDS)[theatre.scene.time]
    bumps = [(dx * size, -abs(chance.gauss(0.18, 0.1)) * size, size * chance.uniform(0.34, 0.5)) for dx in (-0.55, -0.12, 0.34)]
    wide = size * 1.15
    theatre.flat(
        smooth([at - wide, at - wide * 0.6 - 0.2j * size, at + wide * 0.6 - 0.22j * size, at + wide, at + 0.16j * size]),
        shade,
        "clouds",
        FAR,
    )
    for dx, dy, radius in bumps:
        theatre.flat(ellipse(at + complex(dx, dy + 0.10 * size), radius * 1.06), shade, "clouds", FAR)
    for dx, dy, radius in bumps:
        theatre.flat(ellipse(at + complex(dx, dy), radius), mix(bright, shade, 0.08), "clouds", FAR)
    theatre.flat(
        smooth([at - wide * 0.9, at - wide * 0.5 - 0.3j * size, at + wide * 0.5 - 0.3j * size, at + wide * 0.9, at + 0.02j * size]),
        mix(bright, shade, 0.08),
        "clouds",
        FAR,
    )
