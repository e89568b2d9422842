"""Rain, snow and fog between us and the scene, and a sky that knows about them."""

from __future__ import annotations

import random

import numpy
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from marquetry.nodes.world.stage.backdrop import grid
from marquetry.nodes.world.stage.light import Light
from marquetry.nodes.world.stage.paper import noise
from marquetry.nodes.world.stage.scene import Scene
from marquetry.nodes.world.stage.sketch import VIEW
from marquetry.nodes.world.stage.vocabulary import INDOORS

Floats = NDArray[numpy.float32]
FINE = 2  # samples per pixel
DROPS = 130
FLAKES = 150
RAIN_COLOUR = numpy.array((206, 220, 240), dtype=numpy.float32)
SNOW_COLOUR = numpy.array((252, 253, 255), dtype=numpy.float32)


def fall(scene: Scene, light: Light, pixels: Floats, horizon: float) -> None:
    """Adds what falls or drifts through the air to `pixels` `[S, S, 3]`; nothing does indoors."""
    if scene.setting in INDOORS:
        return
    if scene.weather == "rain":
        _blend(pixels, _rain(scene, pixels.shape[0]) * 0.62, RAIN_COLOUR)
    elif scene.weather == "snow":
        _blend(pixels, _snow(scene, pixels.shape[0]), SNOW_COLOUR * (0.82 if scene.time == "night" else 1.0))
    elif scene.weather == "fog":
        _blend(pixels, _fog(scene, pixels.shape[0], horizon), numpy.array(light.haze, dtype=numpy.float32))


def _blend(pixels: Floats, share: Floats, colour: Floats) -> None:
    pixels += (colour - pixels) * share[..., None]


def _rain(scene: Scene, size: int) -> Floats:
    chance, scale = random.Random(scene.seed ^ 0x2A17), size * FINE / VIEW
    sheet = Image.new("L", (size * FINE, size * FINE))
    draw = ImageDraw.Draw(sheet)
    for _ in range(DROPS):
        near = chance.random()
        x, y = chance.uniform(-10, VIEW + 20), (chance.uniform(0, 1) + scene.drift * 9.0) % 1.0 * (VIEW + 40) - 20
        long = 7.0 + 15.0 * near
        draw.line(
            (x * scale, y * scale, (x - long * 0.22) * scale, (y + long) * scale),
            fill=int(90 + 150 * near),
            width=max(1, round((0.6 + 0.9 * near) * scale)),
        )
    return _reduced(sheet)


def _snow(scene: Scene, size: int) -> Floats:
    chance, scale = random.Random(scene.seed ^ 0x5A03), size * FINE / VIEW
    sheet = Image.new("L", (size * FINE, size * FINE))
    draw = ImageDraw.Draw(sheet)
    for _ in range(FLAKES):
        near = chance.random() ** 2
        x, y = chance.uniform(0, VIEW), (chance.uniform(0, 1) + scene.drift * 3.0) % 1.0 * VIEW
        radius = 0.8 + 2.6 * near
        draw.ellipse(((x - radius) * scale, (y - radius) * scale, (x + radius) * scale, (y + radius) * scale), fill=int(235 - 60 * near))
    return _reduced(sheet.filter(ImageFilter.BoxBlur(0.5 * scale)))


def _reduced(sheet: Image.Image) -> Floats:
    return numpy.asarray(sheet.reduce(FINE)).astype(numpy.float32) / 255.0


def _fog(scene: Scene, size: int, horizon: float) -> Floats:
    """Banks of fog that lie thickest along the horizon."""
    rows, _ = grid(size)
    lying = numpy.exp(-(((rows - horizon) / 70.0) ** 2)) * 0.34 + 0.10
    banks = numpy.roll(noise(size, 5, scene.seed % 8), int(scene.drift * size), axis=1)
    result: Floats = (lying * (0.55 + 0.9 * banks)).clip(0.0, 0.8).astype(numpy.float32)
    return result
