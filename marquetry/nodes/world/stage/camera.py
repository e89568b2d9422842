"""Where the camera stands and what it sees: points of the stage, in metres, to points of the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

from marquetry.nodes.world.stage.sketch import VIEW, Frame

FIELD_OF_VIEW = 40.0  # degrees
NEAREST_M = 0.25


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera `height` metres above the ground, `back` metres before the middle of the stage, looking along z.

    `yaw` turns it to the right and `pitch` upwards, in degrees. `aside` moves it to the right, in metres.
    """

    height: float
    back: float
    pitch: float = 0.0
    yaw: float = 0.0
    aside: float = 0.0
    field_of_view: float = FIELD_OF_VIEW

    @property
    def focal(self) -> float:
        """The focal length, in units of the picture."""
        return VIEW / 2.0 / math.tan(math.radians(self.field_of_view / 2.0))

    @property
    def horizon(self) -> float:
        """How far down the picture the horizon lies."""
        return VIEW / 2.0 + self.focal * math.tan(math.radians(self.pitch))

    def distance(self, x: float, z: float) -> float:
        """How far in front of the camera an upright thing stands, in metres."""
        turn = math.radians(self.yaw)
        return (z + self.back) * math.cos(turn) + (x - self.aside) * math.sin(turn)

    def project(self, x: float, y: float, z: float) -> complex:
        """A point of the stage in the picture's units; the point must lie before the camera."""
        turn = math.radians(self.yaw)
        across = (x - self.aside) * math.cos(turn) - (z + self.back) * math.sin(turn)
        ahead = max(self.distance(x, z), NEAREST_M)
        return complex(VIEW / 2.0 + self.focal * across / ahead, self.horizon - self.focal * (y - self.height) / ahead)

    def scale(self, x: float, z: float) -> float:
        """How many units of the picture one metre takes there."""
        return self.focal / max(self.distance(x, z), NEAREST_M)

    def frame(self, x: float, y: float, z: float, mirrored: bool = False) -> Frame:
        """A frame for an upright thing whose foot is at the point; its own units are metres."""
        return Frame(self.project(x, y, z), complex(self.scale(x, z)), mirrored)

    def ground_distance(self, row: float) -> float:
        """How far away the ground is that is seen at a height of the picture below the horizon."""
        return self.focal * self.height / max(row - self.horizon, 1e-6)
