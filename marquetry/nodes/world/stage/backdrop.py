"""Sky and ground, painted point by point behind everything: `[S, S, 3]` in 0..255."""

from __future__ import annotations

from functools import lru_cache

import numpy
from numpy.typing import NDArray

from marquetry.nodes.world.stage.palette import Rgb
from marquetry.nodes.world.stage.sketch import VIEW
from marquetry.nodes.world.stage.theatre import Theatre

Floats = NDArray[numpy.float32]


@lru_cache(maxsize=8)
def grid(size: int) -> tuple[Floats, Floats]:
    """The middles of pixels, in the picture's units: rows `[S, 1]` and columns `[1, S]`."""
    middles = ((numpy.arange(size, dtype=numpy.float32) + 0.5) * (VIEW / size)).astype(numpy.float32)
    return middles[:, None], middles[None, :]


def _ramp(position: Floats, colours: tuple[Rgb, ...], stops: tuple[float, ...]) -> Floats:
    table = numpy.array(colours, dtype=numpy.float32)
    channels = [numpy.interp(position, stops, table[:, channel]) for channel in range(3)]
    return numpy.stack(channels, axis=-1).astype(numpy.float32)


def paint_backdrop(theatre: Theatre, ground: tuple[Rgb, Rgb]) -> Floats:
    """The sky down to the horizon and the ground below it, from `ground[0]` far away to `ground[1]` near."""
    size, light, camera = theatre.sketch.size, theatre.light, theatre.camera
    rows, columns = grid(size)
    horizon = min(max(camera.horizon, -1e3), 1e3)
    up = (1.0 - rows[:, 0] / max(horizon, 1.0)).clip(0.0, 1.0)
    sky = _ramp(up, (light.sky[2], light.sky[1], light.sky[0]), (0.0, 0.42, 1.0))
    below = numpy.maximum(rows[:, 0] - horizon, 0.05)
    far = camera.focal * camera.height / below
    near = (1.0 / (1.0 + far / 5.0)).clip(0.0, 1.0)
    land = _ramp(near, ground, (0.05, 0.55)) * numpy.array(light.ambient, dtype=numpy.float32)
    hidden = (1.0 - 0.5 ** (numpy.minimum(far, 1e4) / light.haze_m))[:, None]
    land = land + (numpy.array(light.haze, dtype=numpy.float32) - land) * hidden
    blend = ((rows[:, 0] - horizon) * (size / VIEW) + 0.5).clip(0.0, 1.0)[:, None]
    lines = sky + (land - sky) * blend
    picture = numpy.repeat(lines[:, None, :], size, axis=1).astype(numpy.float32)
    if camera.horizon > -20.0:
        _paint_sun(picture, theatre, rows, columns, blend)
    return picture


def _paint_sun(picture: Floats, theatre: Theatre, rows: Floats, columns: Floats, blend: Floats) -> None:
    """A wide brightness around the sun or moon, over the sky only."""
    place = sun_place(theatre)
    if place is None:
        return
    down, across = (numpy.exp(-((line - middle) ** 2) / (2 * 46.0**2)) for line, middle in ((rows, place.imag), (columns, place.real)))
    glow = down * across * (0.55 if theatre.scene.time != "night" else 0.26)
    colour = numpy.array(theatre.light.colour, dtype=numpy.float32)
    picture += (colour - picture) * (glow[..., None] * (1.0 - blend[:, None]))


def sun_place(theatre: Theatre) -> complex | None:
    """Where the sun or moon stands in the picture; None when it is behind us or hidden."""
    scene, camera = theatre.scene, theatre.camera
    if scene.weather not in ("clear", "snow") and not (scene.weather == "clouds" and scene.time != "day"):
        return None
    if scene.light == "front":
        return None
    x = {"left": 42.0, "right": 214.0, "back": 128.0 + 30.0 * (1 if scene.seed % 2 else -1)}[scene.light]
    y = camera.horizon - {"day": 92.0, "sunset": 26.0, "night": 84.0}[scene.time]
    return complex(x - camera.yaw * 3.0, max(y, 24.0) if scene.shot == "wide" else y)
