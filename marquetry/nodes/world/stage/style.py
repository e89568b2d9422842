"""Styles: one drawing, coloured and worked over in six ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from marquetry.nodes.world.stage import paper
from marquetry.nodes.world.stage.light import graded
from marquetry.nodes.world.stage.relief import add_glow, darkness
from marquetry.nodes.world.stage.sketch import BACKDROP, VIEW, Index
from marquetry.nodes.world.stage.weather import fall

if TYPE_CHECKING:
    from marquetry.nodes.world.stage.render import Drawing

Floats = NDArray[numpy.float32]
Flags = NDArray[numpy.bool_]
SHADE = numpy.array((0.28, 0.20, 0.46), dtype=numpy.float32)
LINE = numpy.array((0.40, 0.32, 0.40, 0.0))
LINE_ON_BACKDROP = (72, 58, 86, 0)
PIXELS_ACROSS = 64
PIXEL_COLOURS = 40
PINKISH = numpy.array((4, -1, 3), dtype=numpy.float32)
SHEET = numpy.array((253, 248, 236), dtype=numpy.float32)


def finish(drawing: Drawing) -> NDArray[numpy.uint8]:
    """The pixels `[S, S, 3]` of a drawing in its scene's style."""
    return _STYLES[drawing.scene.style](drawing).clip(0, 255).astype(numpy.uint8)


def _flat(drawing: Drawing) -> Floats:
    return _painted(drawing, None)


def _outlined(drawing: Drawing) -> Floats:
    return _painted(drawing, lines(drawing, 2))


def _pastel(drawing: Drawing) -> Floats:
    """Chalk: light, soft colours, no lines, grain where the paper shows through."""
    pixels = _painted(drawing, None, 0.7)
    grey = pixels.mean(axis=2, keepdims=True)
    soft: Floats = (pixels * 0.86 + grey * 0.14) * 0.72 + SHEET * 0.28 + PINKISH
    rough = paper.grain(drawing.sketch.size, _variant(drawing))[..., None]
    soft += rough * 13.0
    return soft


def _pixel(drawing: Drawing) -> Floats:
    """Large square pixels in few colours, with lines."""
    size = drawing.sketch.size
    pixels = _painted(drawing, lines(drawing, 3), 1.0).clip(0, 255).astype(numpy.uint8)
    small = Image.fromarray(pixels).resize((PIXELS_ACROSS, PIXELS_ACROSS), Image.Resampling.BOX)
    few = small.quantize(PIXEL_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).convert("RGB")
    return numpy.asarray(few.resize((size, size), Image.Resampling.NEAREST)).astype(numpy.float32)


def _ink(drawing: Drawing) -> Floats:
    """Black lines and hatching on paper, with two grey washes."""
    size = drawing.sketch.size
    colours = graded(drawing.sketch.inks, drawing.light)
    pixels, backdrop = coloured(drawing, colours, None)
    pixels += backdrop[..., None] * (drawing.backdrop / 255.0)
    fall(drawing.scene, drawing.light, pixels, drawing.camera.horizon)
    grey = pixels @ numpy.array((0.299, 0.587, 0.114), dtype=numpy.float32)
    tone = (grey / 255.0) * (1.0 - darkness(drawing) * 1.25)
    strokes = paper.hatching(size)
    wash = 0.80 + 0.20 * (tone * 1.25).clip(0.0, 1.0)
    wash -= 0.34 * ((0.55 - tone) * 6.0).clip(0.0, 1.0) * (strokes > 0.45) + 0.34 * ((0.36 - tone) * 6.0).clip(0.0, 1.0) * (
        strokes.T[::-1] > 0.45
    )
    wash -= 0.30 * ((0.22 - tone) * 6.0).clip(0.0, 1.0)
    edge = lines(drawing, 2)
    black = numpy.asarray(Image.fromarray(edge.view(numpy.uint8) * 255).reduce(drawing.sketch.fine)).astype(numpy.float32) / 255.0
    wash = wash + paper.grain(size, _variant(drawing)) * 0.035
    wash *= 1.0 - 0.88 * black
    return wash.clip(0.06, 1.0)[..., None] * SHEET


def _watercolour(drawing: Drawing) -> Floats:
    """Thin paint on paper: wandering edges, pigment that gathers there, uneven washes, a free border."""
    size, variant = drawing.sketch.size, _variant(drawing)
    pixels = _painted(drawing, None, 0.75).clip(0, 255)
    edge = numpy.asarray(
        Image.fromarray(lines(drawing, 2).view(numpy.uint8) * 255)
        .reduce(drawing.sketch.fine)
        .filter(ImageFilter.BoxBlur(0.6 * size / VIEW))
    )
    pigment = edge.astype(numpy.float32) * (0.42 / 255.0)
    rows, columns = paper.wobble(size, variant)
    pixels, pigment = pixels[rows, columns], pigment[rows, columns]
    thin = 0.80 + (paper.noise(size, 7, variant) - 0.5) * 0.42 + (paper.noise(size, 24, variant) - 0.5) * 0.22
    thin = (thin + pigment * 0.5).clip(0.45, 1.0)[..., None]
    painted: Floats = SHEET + (pixels - SHEET) * thin
    painted *= (1.0 - pigment * 0.75)[..., None]
    painted = SHEET + (painted - SHEET) * paper.border(size, variant)
    painted += paper.grain(size, variant)[..., None] * 9.0
    return painted


_STYLES: dict[str, Callable[[Drawing], Floats]] = {
    "flat": _flat,
    "outlined": _outlined,
    "pastel": _pastel,
    "pixel": _pixel,
    "ink": _ink,
    "watercolour": _watercolour,
}


def _variant(drawing: Drawing) -> int:
    return drawing.scene.seed % paper.VARIANTS


def _painted(drawing: Drawing, edge: Flags | None, relief: float = 1.0) -> Floats:
    """Colours, shade, shadows and glow."""
    pixels, backdrop = coloured(drawing, graded(drawing.sketch.inks, drawing.light), edge)
    pixels += backdrop[..., None] * (drawing.backdrop / 255.0)
    dark = (darkness(drawing) * relief)[..., None]
    pixels *= 1.0 - dark * (1.0 - SHADE)
    add_glow(drawing, pixels, backdrop)
    fall(drawing.scene, drawing.light, pixels, drawing.camera.horizon)
    return pixels


def coloured(drawing: Drawing, colours: Floats, edge: Flags | None) -> tuple[Floats, Floats]:
    """Ink numbers to colours, averaged over each pixel: `[S, S, 3]`, and how much of each is backdrop, both in 0..255."""
    samples = drawing.sketch.samples()
    table = numpy.zeros((len(colours), 4), dtype=numpy.uint8)
    table[:, :3] = colours
    table[BACKDROP] = (0, 0, 0, 255)
    packed = numpy.take(table.view(numpy.uint32)[:, 0], samples, mode="clip")
    if edge is not None:
        dark = (table * LINE).astype(numpy.uint8)
        dark[BACKDROP] = LINE_ON_BACKDROP
        numpy.copyto(packed, numpy.take(dark.view(numpy.uint32)[:, 0], samples, mode="clip"), where=edge)
    side = samples.shape[0]
    sheet = Image.frombuffer("RGBX", (side, side), packed, "raw", "RGBX", 0, 1).reduce(drawing.sketch.fine)
    averaged = numpy.asarray(sheet).astype(numpy.float32)
    return averaged[..., :3].copy(), averaged[..., 3]


def lines(drawing: Drawing, thick: int) -> Flags:
    """Samples near the edge between two parts; parts of the backdrop have no lines between them."""
    table = line_numbers(drawing)
    part: Index = numpy.take(table, drawing.sketch.samples(), mode="clip")
    edge = numpy.zeros(part.shape, dtype=numpy.bool_)
    across, down = part[:, thick:] != part[:, :-thick], part[thick:] != part[:-thick]
    edge[:, thick:] |= across
    edge[:, :-thick] |= across
    edge[thick:] |= down
    edge[:-thick] |= down
    return edge


def line_numbers(drawing: Drawing) -> NDArray[numpy.uint16]:
    """A number for each ink: equal where no line is drawn between two inks."""
    numbers: dict[tuple[int, str], int] = {}
    things = drawing.theatre.things
    keys = ((0, "backdrop") if things[ink.thing].role == "backdrop" else (ink.thing, ink.line) for ink in drawing.sketch.inks)
    return numpy.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=numpy.uint16)
