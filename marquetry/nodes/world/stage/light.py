"""Light: where it comes from, its colour, and what time of day and weather do to colours."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from marquetry.nodes.world.stage.palette import Rgb
from marquetry.nodes.world.stage.scene import Scene
from marquetry.nodes.world.stage.sketch import Ink
from marquetry.nodes.world.stage.vocabulary import INDOORS

Floats = NDArray[numpy.float32]
SKY_M = 400.0  # what is farther away lies above the haze


@dataclass(frozen=True, slots=True)
class Light:
    """`towards` is the direction to the light: right, up, towards us, of length one. `strength` is how hard shade is, 0..1.

    `sky` goes from the zenith to the horizon; `ambient` multiplies every colour; far things fade into `haze`, half of them at
    `haze_m` metres.
    """

    towards: tuple[float, float, float]
    colour: Rgb
    ambient: tuple[float, float, float]
    sky: tuple[Rgb, Rgb, Rgb]
    haze: Rgb
    haze_m: float
    strength: float
    shadow: float  # how long shadows are, in heights of what throws them


SKIES: dict[str, tuple[Rgb, Rgb, Rgb]] = {
    "day": ((94, 174, 232), (150, 210, 242), (222, 242, 246)),
    "sunset": ((108, 96, 168), (236, 136, 132), (255, 208, 132)),
    "night": ((22, 28, 70), (42, 54, 108), (86, 98, 154)),
}
DULL: dict[str, tuple[Rgb, Rgb, Rgb]] = {
    "day": ((150, 172, 192), (184, 200, 212), (214, 222, 226)),
    "sunset": ((128, 112, 148), (196, 146, 148), (236, 190, 156)),
    "night": ((30, 36, 62), (48, 56, 86), (78, 86, 116)),
}
AMBIENT = {"day": (1.0, 1.0, 1.0), "sunset": (1.05, 0.88, 0.80), "night": (0.68, 0.70, 0.90)}
INDOOR_AMBIENT = {"day": (1.0, 0.99, 0.97), "sunset": (1.04, 0.91, 0.82), "night": (0.86, 0.77, 0.70)}
COLOURS: dict[str, Rgb] = {"day": (255, 248, 226), "sunset": (255, 190, 120), "night": (178, 200, 255)}
LAMP: Rgb = (255, 214, 140)
ELEVATION = {"day": 46.0, "sunset": 16.0, "night": 40.0}
SHADOW = {"day": 0.55, "sunset": 1.3, "night": 0.6}
AZIMUTH = {"left": -62.0, "right": 62.0, "front": 12.0, "back": 168.0}  # from straight towards us


def light_of(scene: Scene) -> Light:
    """The light of a scene."""
    indoors = scene.setting in INDOORS
    azimuth, up = math.radians(AZIMUTH[scene.light]), math.radians(ELEVATION[scene.time])
    towards = (math.cos(up) * math.sin(azimuth), math.sin(up), math.cos(up) * math.cos(azimuth))
    soft = scene.weather != "clear" and not indoors
    ambient = (INDOOR_AMBIENT if indoors else AMBIENT)[scene.time]
    if soft:
        ambient = (ambient[0] * 0.92, ambient[1] * 0.94, ambient[2] * 0.97)
    sky = (SKIES if not soft or (scene.weather == "snow" and scene.time != "day") else DULL)[scene.time]
    return Light(
        towards=towards,
        colour=LAMP if indoors and scene.time == "night" else COLOURS[scene.time],
        ambient=ambient,
        sky=sky,
        haze=sky[2],
        haze_m={"fog": 7.0, "rain": 42.0, "snow": 38.0}.get(scene.weather, 80.0) if not indoors else 1e9,
        strength=0.5 if soft else 1.0,
        shadow=SHADOW[scene.time] if not indoors else 0.4,
    )


def veil(light: Light, distance: float) -> float:
    """How much of what is at a distance is hidden by haze, 0..1."""
    return 1.0 - float(0.5 ** (distance / light.haze_m))


def graded(inks: list[Ink], light: Light) -> Floats:
    """The colours of inks in this light, `[N, 3]` in 0..255."""
    colours = numpy.array([ink.colour for ink in inks], dtype=numpy.float32)
    glows = numpy.array([ink.glows for ink in inks])
    distance = numpy.array([min(ink.distance, 1e4) for ink in inks], dtype=numpy.float32)
    lit = colours * numpy.array(light.ambient, dtype=numpy.float32)
    above = glows | (distance >= SKY_M)
    lit[above] = colours[above]
    veiled = numpy.where(glows, 0.45, 1.0) * (distance < SKY_M)
    hidden = ((1.0 - 0.5 ** (distance / light.haze_m)) * veiled)[:, None]
    result: Floats = (lit + (numpy.array(light.haze, dtype=numpy.float32) - lit) * hidden).clip(0, 255).astype(numpy.float32)
    return result
