"""Trunks: an elliptical tube around the spine, on which tops, coats and stripes are painted. Units are body heights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from marquetry.nodes.world.stage.curves import Points, curve
from marquetry.nodes.world.stage.figure.skeleton import Skeleton

Floats = NDArray[numpy.float64]


@dataclass(frozen=True, slots=True)
class Trunk:
    """The tube from the hips (0) to the neck (1) as it is seen."""

    hip: complex
    neck: complex
    degrees: float
    heights: Floats
    across: Floats  # half width when seen from the front
    deep: Floats  # half width when seen from the side

    def half(self, t: Floats, extra: float = 0.0) -> Floats:
        """Half of the seen width."""
        turn = math.radians(self.degrees)
        wide = (numpy.interp(t, self.heights, self.across) + extra) * math.cos(turn)
        deep = (numpy.interp(t, self.heights, self.deep) + extra) * math.sin(turn)
        result: Floats = numpy.hypot(wide, deep)
        return result

    def axis(self, t: Floats) -> Points:
        """The spine."""
        return self.hip + (self.neck - self.hip) * t

    def at(self, around: float, t: float) -> tuple[complex, float]:
        """A point of the surface, `around` degrees from the breastbone, and how far it lies towards us."""
        turn, angle = math.radians(self.degrees), math.radians(around)
        wide = float(numpy.interp(t, self.heights, self.across)) * math.sin(angle)
        deep = float(numpy.interp(t, self.heights, self.deep)) * math.cos(angle)
        centre = complex(self.hip + (self.neck - self.hip) * t)
        return centre + wide * math.cos(turn) + deep * math.sin(turn), deep * math.cos(turn) - wide * math.sin(turn)

    def band(self, low: float, high: float, extra: float = 0.0, sag: float = 0.010) -> Points:
        """The outline between two heights; the edges sag a little, as around a body."""
        t = numpy.linspace(low, high, 10)
        axis, half = self.axis(t), self.half(t, extra)
        right, left = axis + half, (axis - half)[::-1]
        under = self.axis(numpy.array([low]))[0] - 1j * sag
        over = self.axis(numpy.array([high]))[0] - 1j * sag
        return numpy.concatenate((right, curve([right[-1], over, left[0]], 3)[1:-1], left, curve([left[-1], under, right[0]], 3)[1:-1]))

    def strip(self, around: float, half_width: float, low: float, high: float) -> Points | None:
        """A strip down the front, centred at an angle; None where it is on the other side."""
        if self.at(around, (low + high) / 2)[1] < 0.008:
            return None
        heights = numpy.linspace(low, high, 5)
        one = [self.at(around - half_width, float(t))[0] for t in heights]
        other = [self.at(around + half_width, float(t))[0] for t in heights[::-1]]
        return numpy.array(one + other)


def trunk_of(skeleton: Skeleton) -> Trunk:
    """The trunk of a body."""
    build = skeleton.build
    heights = numpy.array([-0.06, 0.05, 0.42, 0.74, 0.90, 0.97, 1.0])
    hips = max(build.waist_half, build.hip_half + build.leg_width * 0.55)
    across = numpy.array(
        [hips, hips, build.waist_half, build.chest_half, build.shoulder_half * 0.98, build.shoulder_half * 0.62, build.head * 0.30]
    )
    deep = numpy.array([1.0, 1.0, 0.94, 1.02, 0.86, 0.62, 0.5]) * build.depth_half
    return Trunk(skeleton.flat("hip"), skeleton.flat("neck"), skeleton.degrees, heights, across, deep)
