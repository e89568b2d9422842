"""How light models a drawing: shade round the far side of things, shadows on the ground, light spread around lamps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from marquetry.nodes.world.stage.backdrop import grid
from marquetry.nodes.world.stage.sketch import VIEW, Index, Ink

if TYPE_CHECKING:
    from marquetry.nodes.world.stage.render import Drawing

Floats = NDArray[numpy.float32]
STEPS = (0.14, 0.34, 0.60)
FORM_SHADE = 0.34
COARSE_FROM = 256  # pixels


def darkness(drawing: Drawing) -> Floats:
    """How much light is missing at each pixel, `[S, S]` in 0..1. It is soft: large pictures are judged at every second pixel."""
    inks, size = drawing.sketch.inks, drawing.sketch.size
    step = 2 if size >= COARSE_FROM else 1
    index, scale = drawing.sketch.pixels()[::step, ::step], size / step / VIEW
    bulk = numpy.array([0.0 if ink.glows else ink.bulk * scale for ink in inks], dtype=numpy.float32)
    dark = _form_shade(part_numbers(inks)[index], bulk[index], drawing.light.towards, scale) * (FORM_SHADE * drawing.light.strength)
    fallen = _fallen(drawing, size // step)
    if fallen is not None:
        ground = numpy.array([ink.ground for ink in inks], dtype=numpy.float32)
        dark += fallen * ground[index] * (1.0 - dark)
    if step == 1:
        return dark
    return numpy.asarray(Image.fromarray(dark).resize((size, size), Image.Resampling.BILINEAR))


def part_numbers(inks: list[Ink]) -> NDArray[numpy.int32]:
    """A number for the part that each ink lies on."""
    numbers: dict[tuple[int, str], int] = {}
    return numpy.array([numbers.setdefault((ink.thing, ink.line), len(numbers)) for ink in inks], dtype=numpy.int32)


def _form_shade(part: Index, bulk: Floats, towards: tuple[float, float, float], scale: float) -> Floats:
    """A pixel lies in shade where its part soon ends, going away from the light."""
    size = part.shape[0]
    rows = numpy.arange(size, dtype=numpy.float32)[:, None]
    columns = numpy.arange(size, dtype=numpy.float32)[None, :]
    across, up, depth = towards
    flat = max(float(numpy.hypot(across, up)), 1e-6)
    reach = 0.75 if depth >= 0 else 1.3
    total = numpy.zeros(part.shape, dtype=numpy.uint8)
    flattened = part.ravel()
    for step in STEPS:
        y = (rows + bulk * (up / flat * step * reach)).astype(numpy.int32).clip(0, size - 1)
        x = (columns - bulk * (across / flat * step * reach)).astype(numpy.int32).clip(0, size - 1)
        total += numpy.take(flattened, y * size + x) != part
    soft = Image.fromarray(total * (255 // len(STEPS))).filter(ImageFilter.BoxBlur(scale * 1.3))
    return numpy.asarray(soft).astype(numpy.float32) / 255.0


def _fallen(drawing: Drawing, size: int) -> Floats | None:
    scale = size / VIEW
    sheets: dict[float, Image.Image] = {}
    for shadow in drawing.theatre.shadows:
        sheet = sheets.setdefault(shadow.dark, Image.new("L", (size, size)))
        ImageDraw.Draw(sheet).polygon((shadow.outline * scale).view(numpy.float64).tolist(), fill=255)
    if not sheets:
        return None
    blur = ImageFilter.BoxBlur(2.6 * scale)
    layers = [numpy.asarray(sheet.filter(blur)).astype(numpy.float32) * (dark / 255.0) for dark, sheet in sheets.items()]
    return numpy.sum(layers, axis=0, dtype=numpy.float32).clip(0.0, 0.55)


def add_glow(drawing: Drawing, pixels: Floats, backdrop: Floats) -> None:
    """Brightens `pixels` around lamps and the sun."""
    rows, columns = grid(drawing.sketch.size)
    for glow in drawing.theatre.glows:
        down = numpy.exp(-((rows - glow.at.imag) ** 2) / (0.5 * glow.reach**2))
        across = numpy.exp(-((columns - glow.at.real) ** 2) / (0.5 * glow.reach**2))
        share = (down * across * (glow.strength * 0.6))[..., None]
        if not glow.over_all:
            share = share * (backdrop[..., None] / 255.0)
        pixels += (255.0 - pixels) * share * (numpy.array(glow.colour, dtype=numpy.float32) / 255.0)
