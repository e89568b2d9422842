"""The stage while it is being set: what stands where, drawn from far to near, with its shadow and its glow."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy

from marquetry.nodes.world.stage.camera import Camera
from marquetry.nodes.world.stage.curves import Points, Shape, ellipse
from marquetry.nodes.world.stage.light import Light
from marquetry.nodes.world.stage.palette import Rgb
from marquetry.nodes.world.stage.scene import Scene
from marquetry.nodes.world.stage.sketch import Brush, Frame, Ink, Sketch

Draw = Callable[[Brush], None]
ROUND = ellipse(0, 1.0, count=20)


@dataclass(frozen=True, slots=True)
class Thing:
    """Something in a picture that can be named. `role` is "actor", "prop", "scenery" or "backdrop"; `index` counts in its role."""

    name: str
    role: str
    index: int = 0
    colour: str = ""


@dataclass(frozen=True, slots=True)
class Shadow:
    """A shadow on the ground: its outline in the picture's units, and how dark it is."""

    outline: Points
    dark: float


@dataclass(frozen=True, slots=True)
class Glow:
    """Light that spreads around something: the place in the picture, the reach in its units, the colour and strength."""

    at: complex
    reach: float
    colour: Rgb
    strength: float
    over_all: bool = True  # else over the sky alone


class Theatre:
    """Collects things and draws them in order."""

    def __init__(self, scene: Scene, camera: Camera, light: Light, size: int) -> None:
        self.scene = scene
        self.camera = camera
        self.light = light
        self.sketch = Sketch(size)
        self.chance = random.Random(scene.seed)
        self.things: list[Thing] = [Thing("backdrop", "backdrop")]
        self.shadows: list[Shadow] = []
        self.glows: list[Glow] = []
        self._waiting: list[tuple[float, int, Draw, Frame]] = []

    @property
    def dark(self) -> bool:
        """Whether lamps are lit."""
        return self.scene.time == "night"

    def add(self, thing: Thing) -> int:
        """Its number in the picture."""
        self.things.append(thing)
        return len(self.things) - 1

    def number(self, name: str) -> int:
        """The number of a part of the backdrop, such as "hills"."""
        for index, thing in enumerate(self.things):
            if thing.name == name and thing.role == "backdrop":
                return index
        return self.add(Thing(name, "backdrop"))

    def flat(
        self, points: Shape, colour: Rgb, name: str, distance: float, glows: bool = False, ground: bool = False, bulk: float = 0.0
    ) -> None:
        """Paint a part of the backdrop at once, in the picture's units (y down)."""
        ink = Ink(colour, self.number(name), name, name, distance, bulk, glows, ground)
        self.sketch.paint(numpy.asarray(points, dtype=numpy.complex128), ink)

    def put(
        self,
        thing: Thing,
        x: float,
        z: float,
        draw: Draw,
        *,
        y: float = 0.0,
        size: float = 1.0,
        mirrored: bool = False,
        foot: float = 0.3,
        height: float = 1.0,
    ) -> int:
        """Have a thing drawn at a place; its own units are `size` metres. `foot` and `height`, in metres, make its shadow."""
        number = self.add(thing)
        distance = self.camera.distance(x, z)
        if distance < 0.4:
            return number
        frame = self.camera.frame(x, y, z, mirrored)
        self._waiting.append((distance, number, draw, Frame(frame.origin, frame.scale * size, mirrored)))
        if foot > 0.0:
            self.cast(x, z, foot, height, y)
        return number

    def cast(self, x: float, z: float, foot: float, height: float, y: float = 0.0) -> None:
        """A soft shadow under something and away from the light."""
        across, _, towards = self.light.towards
        away = math.hypot(across, towards) or 1.0
        along = complex(-across, towards) / away  # x, z on the ground
        length = min(height * self.light.shadow, 3.0)
        shift, stretch = length * 0.45 + y * self.light.shadow, foot + length * 0.5
        self._shade(complex(x, z) + along * (shift + ROUND.real * stretch + 1j * ROUND.imag * foot * 0.8), 0.24 * self.light.strength)
        if y < 0.05:
            self._shade(complex(x, z) + ROUND * foot, 0.28)

    def _shade(self, ground: Points, dark: float) -> None:
        outline, nearest = self.camera.project_ground(ground)
        if nearest > 0.5:
            self.shadows.append(Shadow(outline, dark))

    def glow(self, at: complex, reach: float, colour: Rgb, strength: float = 1.0, over_all: bool = True) -> None:
        """Light around a point of the picture."""
        self.glows.append(Glow(at, reach, colour, strength, over_all))

    def draw(self) -> None:
        """Everything that was put, from far to near."""
        for distance, number, draw, frame in sorted(self._waiting, key=lambda entry: (-entry[0], entry[1])):
            draw(Brush(self.sketch, frame, number, distance))
        self._waiting.clear()
