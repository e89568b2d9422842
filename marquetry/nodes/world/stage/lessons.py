"""Lessons for training: scenes drawn by lot that are not held out, worded anew each time they are shown.

Usable as they are: `StageLessons(count, seed, size)` is the trainer's `Examples`. Scenes are drawn in parallel processes.
"""

from __future__ import annotations

import os
import random
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context

import numpy
from numpy.typing import NDArray

from marquetry.nodes.world.stage.captions import caption, caption_words
from marquetry.nodes.world.stage.casting import Wishes, is_held_out, scene_of
from marquetry.nodes.world.stage.render import draw
from marquetry.nodes.world.stage.scene import Scene
from marquetry.nodes.world.stage.seen import Attributes, attributes
from marquetry.nodes.world.stage.style import finish

Pictures = NDArray[numpy.uint8]
SEED_STRIDE = 1_000_003
CHUNK = 64
SEEN_SIZE = 128


class StageLessons:
    """A fixed set of scenes with their pictures, captions and conditioning pictures."""

    def __init__(
        self, count: int, seed: int, size: int = 128, *, held_out: bool = False, wishes: Wishes = Wishes(), processes: int | None = None
    ) -> None:
        drawn = (scene_of(seed * SEED_STRIDE + index, wishes) for index in range(1 << 62))
        self.scenes: list[Scene] = list(islice((scene for scene in drawn if is_held_out(scene) == held_out), count))
        self.size = size
        self.held_out = held_out
        self.processes = processes or os.cpu_count() or 1
        self._seen: list[Attributes | None] = [None] * count

    def pictures(self) -> Pictures:
        """All pictures, `[N, size, size, 3]`."""
        pictures = numpy.empty((len(self.scenes), self.size, self.size, 3), dtype=numpy.uint8)
        chunks = [(start, self.scenes[start : start + CHUNK], self.size) for start in range(0, len(self.scenes), CHUNK)]
        for start, part, seen in self._mapped(chunks):
            pictures[start : start + len(part)] = part
            self._seen[start : start + len(part)] = seen
        return pictures

    def _mapped(self, chunks: list[tuple[int, list[Scene], int]]) -> list[tuple[int, Pictures, list[Attributes]]]:
        if self.processes == 1 or len(chunks) < 2:
            return [_drawn(chunk) for chunk in chunks]
        with ProcessPoolExecutor(self.processes, mp_context=get_context("spawn")) as pool:
            return list(pool.map(_drawn, chunks))

    def seen(self, index: int) -> Attributes:
        """What a picture shows."""
        found = self._seen[index]
        if found is None:
            found = self._seen[index] = attributes(draw(self.scenes[index], SEEN_SIZE))
        return found

    def caption(self, index: int, draw: random.Random) -> str:
        """One wording for a picture."""
        return caption(self.seen(index), draw, held_out=self.held_out).text

    def words(self) -> frozenset[str]:
        """Every word of every wording."""
        return caption_words()


def _drawn(chunk: tuple[int, list[Scene], int]) -> tuple[int, Pictures, list[Attributes]]:
    start, scenes, size = chunk
    drawings = [draw(scene, size) for scene in scenes]
    return start, numpy.stack([finish(drawing) for drawing in drawings]), [attributes(drawing) for drawing in drawings]
