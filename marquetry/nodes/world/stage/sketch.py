"""A picture before it has colours: each sample holds the number of the ink that was painted there last.

Painting once gives everything: a table from inks to colours is the picture in some style, a table from inks to parts is
the masks, a table to distances is the depth. So the truth about a picture is exact by construction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from marquetry.nodes.world.stage.curves import Points, Shape
from marquetry.nodes.world.stage.palette import Rgb

VIEW = 256.0  # a picture is this wide in its own units, however many pixels it has
MANY_SAMPLES_UP_TO = 128  # pixels: smaller pictures need finer edges
BACKDROP = 0  # the ink of sky and ground
Index = NDArray[numpy.int32]
InkFacts = tuple[Rgb, int, str, str, float, float, bool, bool]  # the fields of an Ink


@dataclass(frozen=True, slots=True)
class Ink:
    """What one flat area is: colour, the thing and part it belongs to, how far it is, and how light treats it.

    `line` names the part that it lies on, so that details are not outlined; `bulk` is how round its part is, in units of
    the picture; `glows` is for what gives light itself.
    """

    colour: Rgb
    thing: int
    part: str
    line: str
    distance: float
    bulk: float
    glows: bool = False
    ground: bool = False  # lies flat: shadows fall on it


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a drawing's own coordinates (y up) lie in the picture (y down): turned and scaled by one complex number."""

    origin: complex
    scale: complex
    mirrored: bool = False

    def place(self, points: Shape) -> Points:
        """Points in the picture's units."""
        own = numpy.asarray(points, dtype=numpy.complex128)
        if self.mirrored:
            own = -own.conj()
        placed: Points = (own * self.scale).conj() + self.origin
        return placed

    def at(self, point: complex, scale: float = 1.0, turn: float = 0.0) -> Frame:
        """A frame within this one; `turn` in degrees."""
        angle = -turn if self.mirrored else turn
        factor = self.scale * scale * complex(numpy.cos(numpy.radians(angle)), numpy.sin(numpy.radians(angle)))
        return Frame(complex(self.place([point])[0]), factor, self.mirrored)


class Sketch:
    """The sheet: `size` pixels wide."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.inks: list[Ink] = [Ink((0, 0, 0), 0, "backdrop", "backdrop", float("inf"), 0.0, ground=True)]
        self._numbers: dict[InkFacts, int] = {}
        self._samples: Index | None = None
        self._pixels: Index | None = None
        self.fine = 4 if size <= MANY_SAMPLES_UP_TO else 3  # samples per pixel, in each direction
        self._sheet = Image.new("I", (size * self.fine, size * self.fine), BACKDROP)
        self._draw = ImageDraw.Draw(self._sheet)
        self._scale = size * self.fine / VIEW

    def paint(self, points: Points, ink: Ink) -> None:
        """Fill an outline, given in the picture's units."""
        self.fill(points, (ink.colour, ink.thing, ink.part, ink.line, ink.distance, ink.bulk, ink.glows, ink.ground))

    def fill(self, points: Points, facts: InkFacts) -> None:
        """As `paint`, with the ink's fields in a tuple: an ink that is known already isn't made again."""
        number = self._numbers.get(facts)
        if number is None:
            number = self._numbers[facts] = len(self.inks)
            self.inks.append(Ink(*facts))
        self._draw.polygon((points * self._scale).view(numpy.float64).tolist(), fill=number)

    def samples(self) -> Index:
        """Ink numbers `[size * fine, size * fine]`, when all is painted."""
        if self._samples is None:
            self._samples = numpy.asarray(self._sheet)
        return self._samples

    def pixels(self) -> Index:
        """Ink numbers `[size, size]`, as met in the middle of each pixel."""
        if self._pixels is None:
            middle = self.fine // 2
            self._pixels = numpy.ascontiguousarray(self.samples()[middle :: self.fine, middle :: self.fine])
        return self._pixels


class Brush:
    """Paints one thing in its own coordinates."""

    __slots__ = ("distance", "frame", "sketch", "thing", "unit")

    def __init__(self, sketch: Sketch, frame: Frame, thing: int, distance: float) -> None:
        self.sketch = sketch
        self.frame = frame
        self.thing = thing
        self.distance = distance
        self.unit = abs(frame.scale)

    def fill(self, points: Shape, colour: Rgb, part: str, over: str | None = None, bulk: float = 0.15, glows: bool = False) -> None:
        """Fill an outline. `over` is the part that this is a detail of; `bulk` is in the drawing's own units."""
        facts = (colour, self.thing, part, over or part, self.distance, round(bulk * self.unit, 1), glows, False)
        self.sketch.fill(self.frame.place(points), facts)

    def at(self, point: complex, scale: float = 1.0, turn: float = 0.0) -> Brush:
        """A brush for a drawing within this one."""
        return Brush(self.sketch, self.frame.at(point, scale, turn), self.thing, self.distance)

    def nearer(self, by: float) -> Brush:
        """A brush for something a little nearer, or farther where `by` is negative; in metres."""
        return Brush(self.sketch, self.frame, self.thing, self.distance - by)

    def mirrored(self) -> Brush:
        """A brush that swaps left and right."""
        frame = Frame(self.frame.origin, self.frame.scale, not self.frame.mirrored)
        return Brush(self.sketch, frame, self.thing, self.distance)
