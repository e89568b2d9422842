"""A drawing surface in unit coordinates: every shape is given in fractions of a square, whatever its pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from PIL import Image, ImageDraw

from marquetry.nodes.world.palette import OUTLINE, Rgb

Point: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Canvas:
    """A square of the picture: `left`, `top` and `side` in pixels, mirrored left to right where asked."""

    draw: ImageDraw.ImageDraw
    left: float
    top: float
    side: float
    line: float = 0.0
    mirrored: bool = False

    def at(self, point: Point) -> Point:
        """Pixels of a point given in fractions of the square."""
        x, y = point
        return self.left + (1.0 - x if self.mirrored else x) * self.side, self.top + y * self.side

    def polygon(self, points: Sequence[Point], fill: Rgb, outlined: bool = True) -> None:
        """A filled polygon, with the outline when asked."""
        pixels = [self.at(point) for point in points]
        self.draw.polygon(pixels, fill=fill)
        if outlined and self.line:
            self.draw.line([*pixels, pixels[0], pixels[1]], fill=OUTLINE, width=round(self.line), joint="curve")

    def ellipse(self, centre: Point, half_width: float, half_height: float, fill: Rgb, outlined: bool = True) -> None:
        """A filled ellipse, with the outline when asked."""
        x, y = self.at(centre)
        box = (x - half_width * self.side, y - half_height * self.side, x + half_width * self.side, y + half_height * self.side)
        if outlined and self.line:
            self.draw.ellipse(box, fill=fill, outline=OUTLINE, width=round(self.line))
        else:
            self.draw.ellipse(box, fill=fill)

    def rectangle(self, corner: Point, opposite: Point, fill: Rgb, outlined: bool = True) -> None:
        """A filled upright rectangle between two opposite corners."""
        (left, top), (right, bottom) = corner, opposite
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], fill, outlined)

    def stroke(self, points: Sequence[Point], fill: Rgb, width: float) -> None:
        """A line through points; `width` in fractions of the square."""
        self.draw.line([self.at(point) for point in points], fill=fill, width=max(1, round(width * self.side)), joint="curve")


def whole_picture(image: Image.Image) -> Canvas:
    """A canvas without outlines over the whole of a square picture."""
    return Canvas(ImageDraw.Draw(image), 0.0, 0.0, float(image.width))
