"""Where the camera stands and what it sees: points of the stage, in metres, to points of the picture."""

from __future__ import annotations

import math

import numpy

from marquetry.nodes.world.stage.curves import Points
from marquetry.nodes.world.stage.sketch import VIEW, Frame

FIELD_OF_VIEW = 40.0  # degrees
NEAREST_M = 0.25


class Camera:
    """A camera `height` metres above the ground, `back` metres before the middle of the stage, looking along z.

    `yaw` turns it to the right and `pitch` upwards, in degrees. `aside` moves it to the right, in metres. `focal` is the focal
    length and `horizon` how far down the picture the horizon lies, in the picture's units.
    """

    __slots__ = ("_cosine", "_sine", "aside", "back", "focal", "height", "horizon", "pitch", "yaw")

    def __init__(self, height: float, back: float, pitch: float = 0.0, yaw: float = 0.0, aside: float = 0.0) -> None:
        self.height = height
        self.back = back
        self.pitch = pitch
        self.yaw = yaw
        self.aside = aside
        self.focal = VIEW / 2.0 / math.tan(math.radians(FIELD_OF_VIEW / 2.0))
        self.horizon = VIEW / 2.0 + self.focal * math.tan(math.radians(pitch))
        self._cosine, self._sine = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))

    def distance(self, x: float, z: float) -> float:
        """How far in front of the camera an upright thing stands, in metres."""
        return (z + self.back) * self._cosine + (x - self.aside) * self._sine

    def project(self, x: float, y: float, z: float) -> complex:
        """A point of the stage in the picture's units; the point must lie before the camera."""
        across = (x - self.aside) * self._cosine - (z + self.back) * self._sine
        ahead = max(self.distance(x, z), NEAREST_M)
        return complex(VIEW / 2.0 + self.focal * across / ahead, self.horizon - self.focal * (y - self.height) / ahead)

    def project_ground(self, places: Points) -> tuple[Points, float]:
        """Places on the ground, x + iz, in the picture's units; and how far the nearest lies before the camera."""
        ahead = (places.imag + self.back) * self._cosine + (places.real - self.aside) * self._sine
        across = (places.real - self.aside) * self._cosine - (places.imag + self.back) * self._sine
        before = numpy.maximum(ahead, NEAREST_M)
        seen = VIEW / 2.0 + self.focal * across / before + 1j * (self.horizon + self.focal * self.height / before)
        return seen, float(ahead.min())

    def scale(self, x: float, z: float) -> float:
        """How many units of the picture one metre takes there."""
        return self.focal / max(self.distance(x, z), NEAREST_M)

    def frame(self, x: float, y: float, z: float, mirrored: bool = False) -> Frame:
        """A frame for an upright thing whose foot is at the point; its own units are metres."""
        return Frame(self.project(x, y, z), complex(self.scale(x, z)), mirrored)

    def ground_distance(self, row: float) -> float:
        """How far away the ground is that is seen at a height of the picture below the horizon."""
        return self.focal * self.height / max(row - self.horizon, 1e-6)
