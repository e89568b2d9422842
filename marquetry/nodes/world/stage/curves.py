"""Outlines as arrays of complex numbers: x to the right, y up. A point times a complex number is turned and scaled."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy
from numpy.typing import NDArray

Points = NDArray[numpy.complexfloating]
Shape = Points | Sequence[complex]


@lru_cache(maxsize=64)
def _circle(count: int) -> Points:
    ring: Points = numpy.exp(2j * numpy.pi * numpy.arange(count) / count)
    return ring


@lru_cache(maxsize=16)
def _spline(steps: int) -> NDArray[numpy.float64]:
    """Catmull-Rom weights `[4, steps]` of the four points around a stretch."""
    t = numpy.arange(steps) / steps
    weights = (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3)
    return numpy.stack(weights) / 2.0


@lru_cache(maxsize=128)
def _closed(count: int) -> NDArray[numpy.intp]:
    return (numpy.arange(count)[:, None] + numpy.arange(-1, 3)[None, :]) % count


@lru_cache(maxsize=128)
def _open(count: int) -> NDArray[numpy.intp]:
    return (numpy.arange(count - 1)[:, None] + numpy.arange(-1, 3)[None, :]).clip(0, count - 1)


def ellipse(centre: complex, rx: float, ry: float | None = None, turn: float = 0.0, count: int = 28) -> Points:
    """An ellipse; `turn` in degrees, against the clock."""
    ry = rx if ry is None else ry
    ring = _circle(count)
    shape = rx * ring.real + 1j * ry * ring.imag
    if turn:
        shape = shape * numpy.exp(1j * numpy.radians(turn))
    return shape + centre


def smooth(points: Shape, steps: int = 5) -> Points:
    """The closed round curve through points; a point given twice is a corner."""
    knots = numpy.asarray(points, dtype=numpy.complex128)
    result: Points = (knots[_closed(len(knots))] @ _spline(steps)).ravel()
    return result


def curve(points: Shape, steps: int = 6) -> Points:
    """The open round curve through points."""
    knots = numpy.asarray(points, dtype=numpy.complex128)
    path = (knots[_open(len(knots))] @ _spline(steps)).ravel()
    return numpy.concatenate((path, knots[-1:]))


def ribbon(points: Shape, widths: Sequence[float], steps: int = 5, round_ends: bool = True) -> Points:
    """The outline of a stroke along the open curve through points, as wide at each as `widths` says."""
    knots = numpy.asarray(points, dtype=numpy.complex128)
    line = curve(knots, steps)
    half = _spread(len(widths), len(line)) @ numpy.array(widths)
    ahead = numpy.empty_like(line)
    ahead[1:-1] = line[2:] - line[:-2]
    ahead[0], ahead[-1] = line[1] - line[0], line[-1] - line[-2]
    side = ahead * (1j * half / numpy.maximum(numpy.abs(ahead), 1e-12))
    left, right = line + side, (line - side)[::-1]
    if not round_ends:
        return numpy.concatenate((left, right))
    return numpy.concatenate((left, _cap(left[-1], line[-1]), right, _cap(right[-1], line[0])))


@lru_cache(maxsize=256)
def _spread(knots: int, count: int) -> NDArray[numpy.float64]:
    """Weights `[count, knots]` that spread values, halved, evenly along a line."""
    along = numpy.linspace(0.0, knots - 1.0, count)[:, None]
    return (1.0 - numpy.abs(along - numpy.arange(knots)[None, :])).clip(0.0, 1.0) / 2.0


@lru_cache(maxsize=2)
def _turns() -> Points:
    turns: Points = numpy.exp(-1j * numpy.pi * numpy.arange(1, 6) / 6)
    return turns


def _cap(start: complex, centre: complex) -> Points:
    return centre + (start - centre) * _turns()


@lru_cache(maxsize=512)
def _arc(start: float, end: float, count: int) -> Points:
    ring: Points = numpy.exp(1j * numpy.radians(numpy.linspace(start, end, count)))
    return ring


def arc(centre: complex, rx: float, ry: float, start: float, end: float, count: int = 12) -> Points:
    """Part of an ellipse, from angle to angle in degrees."""
    ring = _arc(start, end, count)
    return centre + rx * ring.real + 1j * ry * ring.imag


def box(left: float, bottom: float, right: float, top: float) -> Points:
    """A rectangle."""
    return numpy.array([left + 1j * bottom, right + 1j * bottom, right + 1j * top, left + 1j * top])


def round_box(left: float, bottom: float, right: float, top: float, radius: float) -> Points:
    """A rectangle with round corners."""
    radius = min(radius, (right - left) / 2, (top - bottom) / 2)
    corners = (
        (right - radius, top - radius, 0),
        (left + radius, top - radius, 90),
        (left + radius, bottom + radius, 180),
        (right - radius, bottom + radius, 270),
    )
    return numpy.concatenate([arc(x + 1j * y, radius, radius, angle, angle + 90, 5) for x, y, angle in corners])


def hull(points: Shape) -> Points:
    """The smallest convex outline around points."""
    ordered = sorted({(float(p.real), float(p.imag)) for p in numpy.asarray(points)})
    below = _chain(ordered)
    above = _chain(ordered[::-1])
    return numpy.array([complex(x, y) for x, y in below[:-1] + above[:-1]])


def _chain(ordered: list[tuple[float, float]]) -> list[tuple[float, float]]:
    chain: list[tuple[float, float]] = []
    for x, y in ordered:
        while len(chain) >= 2:
            (ax, ay), (bx, by) = chain[-2], chain[-1]
            if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                break
            chain.pop()
        chain.append((x, y))
    return chain


def wavy(start: complex, end: complex, count: int, height: float) -> Points:
    """A row of bumps from one point to another, to the left of the way."""
    t = numpy.linspace(0.0, 1.0, count * 6 + 1)
    side = 1j * (end - start) / max(abs(end - start), 1e-9)
    return start + (end - start) * t + side * height * numpy.abs(numpy.sin(t * count * numpy.pi))
