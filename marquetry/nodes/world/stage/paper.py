"""Grain and washes: patterns that are the same every time, for the styles that look made by hand."""

from __future__ import annotations

from functools import lru_cache

import numpy
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[numpy.float32]
VARIANTS = 8


def _layer(random: numpy.random.Generator, cells: int, size: int) -> Floats:
    small = Image.fromarray((random.random((cells, cells)) * 255.0).astype(numpy.uint8))
    return numpy.asarray(small.resize((size, size), Image.Resampling.BICUBIC)).astype(numpy.float32) / 255.0


@lru_cache(maxsize=64)
def noise(size: int, cells: int, variant: int) -> Floats:
    """Smooth noise `[size, size]` in 0..1 with about `cells` bumps across."""
    result = _layer(numpy.random.default_rng((cells, variant)), min(cells, size), size)
    result.setflags(write=False)
    return result


@lru_cache(maxsize=32)
def grain(size: int, variant: int) -> Floats:
    """Paper: fine and middling grain, around 0, about one at most."""
    result = (noise(size, size // 2, variant) - 0.5) * 1.1 + (noise(size, size // 6, variant) - 0.5) * 0.8
    result.setflags(write=False)
    return result


@lru_cache(maxsize=32)
def wobble(size: int, variant: int) -> tuple[NDArray[numpy.intp], NDArray[numpy.intp]]:
    """Where each pixel of a hand-drawn picture is taken from: rows and columns `[size, size]`, a little displaced."""
    rows, columns = numpy.indices((size, size), dtype=numpy.float32)
    reach = size / 256.0 * 3.6
    down = (noise(size, 22, variant) - 0.5) * reach + (noise(size, 60, variant + 1) - 0.5) * reach * 0.5
    across = (noise(size, 22, variant + 2) - 0.5) * reach + (noise(size, 60, variant + 3) - 0.5) * reach * 0.5
    return (rows + down).round().clip(0, size - 1).astype(numpy.intp), (columns + across).round().clip(0, size - 1).astype(numpy.intp)


@lru_cache(maxsize=32)
def border(size: int, variant: int) -> Floats:
    """How much paint lies at each place of a sheet whose edge was left free, `[size, size, 1]` in 0..1."""
    place = (numpy.arange(size, dtype=numpy.float32) + 0.5) / size
    edge = numpy.minimum(place, 1.0 - place)
    near = numpy.minimum(edge[:, None], edge[None, :])
    ragged = near + (noise(size, 14, variant) - 0.5) * 0.035 + (noise(size, 46, variant) - 0.5) * 0.016
    result: Floats = (((ragged - 0.022) * 60.0).clip(0.0, 1.0))[..., None].astype(numpy.float32)
    result.setflags(write=False)
    return result


@lru_cache(maxsize=8)
def hatching(size: int) -> Floats:
    """Fine diagonal lines, 1 on a line, `[size, size]`; two directions, the second in the second half of the values."""
    rows, columns = numpy.indices((size, size), dtype=numpy.float32)
    pitch = max(3.0, size / 256.0 * 4.6)
    wave = (noise(size, 20, 5) - 0.5) * pitch * 0.7
    first = ((columns + rows + wave) % pitch) / pitch
    result: Floats = (1.0 - numpy.abs(first - 0.5) * 2.0).astype(numpy.float32)
    result.setflags(write=False)
    return result
