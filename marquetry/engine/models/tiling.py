"""Tiles: large pictures piece by piece, with overlaps that fade from one tile into the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from marquetry.engine.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of the input, in its elements."""

    top: int
    left: int
    height: int
    width: int


def tiles(height: int, width: int, *, tile_height: int, tile_width: int, overlap: int) -> Iterator[Tile]:
    """Tiles of at most that size that cover `height` x `width`, neighbours sharing at least `overlap` elements."""
    for top in _starts(height, tile_height, overlap):
        for left in _starts(width, tile_width, overlap):
            yield Tile(top, left, min(tile_height, height), min(tile_width, width))


def map_tiles(
    function: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    tile_height: int,
    tile_width: int,
    overlap: int,
    scale: tuple[int, int],
    progress: Callable[[int, int], None] | None = None,
    context: int = 0,
) -> Tensor:
    """`function` of `x` [B, C, H, W], tile by tile, one picture at a time; float32 on the CPU.

    `scale` (a, b) says that a tile of n elements becomes one of n * a // b. Where tiles overlap, the result is their
    average, weighted so that each fades out towards its inner edges. The last `context` elements there are looked at and not shown; `overlap`
    holds those of both neighbours.
    """
    up, down = scale
    batch, _, height, width = x.shape
    places = list(tiles(height, width, tile_height=tile_height, tile_width=tile_width, overlap=overlap))
    total: Tensor | None = None
    weights: Tensor | None = None
    for row in range(batch):
        for number, tile in enumerate(places):
            piece = x[row : row + 1, :, tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]
            made = function(piece).float().cpu()
            if total is None or weights is None:
                total = torch.zeros(batch, made.shape[1], height * up // down, width * up // down)
                weights = torch.zeros(batch, 1, height * up // down, width * up // down)
            top, left = tile.top * up // down, tile.left * up // down
            weight = _feather(tile, height, width, overlap, context, scale, made.shape[-2:])
            window = (slice(row, row + 1), slice(None), slice(top, top + made.shape[-2]), slice(left, left + made.shape[-1]))
            total[window] += made * weight
            weights[window] += weight
            if progress is not None:
                progress(row * len(places) + number + 1, batch * len(places))
    assert total is not None and weights is not None, "a batch without pictures"
    return total.div_(weights)


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    if length <= tile:
        return [0]
    stride = max(1, tile - min(overlap, tile // 2))
    starts = list(range(0, length - tile, stride))
    return [*starts, length - tile]


def _feather(tile: Tile, height: int, width: int, overlap: int, context: int, scale: tuple[int, int], size: tuple[int, ...]) -> Tensor:
    """Weights `[1, 1, h, w]` of a tile: 1 inside, falling over the overlap at sides that have a neighbour."""
    hidden = context * scale[0] // scale[1]
    fade = max(1, overlap * scale[0] // scale[1] - 2 * hidden)
    rows = _ramp(size[0], fade, hidden, tile.top > 0, tile.top + tile.height < height)
    columns = _ramp(size[1], fade, hidden, tile.left > 0, tile.left + tile.width < width)
    return (rows[:, None] * columns[None, :])[None, None]


def _ramp(length: int, fade: int, hidden: int, at_start: bool, at_end: bool) -> Tensor:
    ramp = torch.ones(length)
    fade = max(1, min(fade, length - hidden))
    rising = torch.cat([torch.zeros(hidden), torch.arange(1, fade + 1) / fade])[:length]
    if at_start:
        ramp[: len(rising)] *= rising
    if at_end:
        ramp[length - len(rising) :] *= rising.flip(0)
    return ramp
