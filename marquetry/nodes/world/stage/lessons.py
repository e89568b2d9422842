"""Lessons for training: scenes drawn by lot that are not held out, worded anew each time they are shown.

Usable as they are: `StageLessons(count, seed, size)` is the trainer's `Examples`; `steering`, `masks`, `dataset` and `clips` give
what ControlNets, inpainting, picture readers and motion modules learn from. Scenes are drawn in parallel processes.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from multiprocessing import get_context
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy
from numpy.typing import NDArray

from marquetry.nodes.world.stage.captions import caption, caption_words
from marquetry.nodes.world.stage.casting import Wishes, is_held_out, scene_of
from marquetry.nodes.world.stage.clips import frames_of
from marquetry.nodes.world.stage.light import light_of
from marquetry.nodes.world.stage.render import draw, picture
from marquetry.nodes.world.stage.scene import Scene
from marquetry.nodes.world.stage.seen import Attributes, attributes
from marquetry.nodes.world.stage.style import finish
from marquetry.nodes.world.stage.truth import Truth, pose_picture, truth_of
from marquetry.nodes.world.stage.vocabulary import MOTIONS

if TYPE_CHECKING:
    from marquetry.engine.training.dataset import Dataset

Pictures = NDArray[numpy.uint8]
Steering = Literal["edges", "depth", "pose"]
T = TypeVar("T")
SEED_STRIDE = 1_000_003
CHUNK = 64
SEEN_SIZE = 128
CLIP_FRAMES_PER_SECOND = 8.0


class StageLessons:
    """A fixed set of scenes with their pictures, captions and conditioning pictures."""

    def __init__(
        self, count: int, seed: int, size: int = 128, *, held_out: bool = False, wishes: Wishes = Wishes(), processes: int | None = None
    ) -> None:
        drawn = (scene_of(seed * SEED_STRIDE + index, wishes) for index in range(1 << 62))
        self.scenes: list[Scene] = list(islice((scene for scene in drawn if is_held_out(scene) == held_out), count))
        self.seed = seed
        self.size = size
        self.held_out = held_out
        self.processes = processes or os.cpu_count() or 1
        self._seen: list[Attributes | None] = [None] * count

    def pictures(self) -> Pictures:
        """All pictures, `[N, size, size, 3]`."""
        pictures = numpy.empty((len(self.scenes), self.size, self.size, 3), dtype=numpy.uint8)
        for index, (pixels, seen) in enumerate(self._mapped(_picture_and_seen)):
            pictures[index], self._seen[index] = pixels, seen
        return pictures

    def steering(self, kind: Steering) -> Pictures:
        """A picture for each that says where its edges are, how near everything is, or how people stand: `[N, size, size, 3]`."""
        return numpy.stack(list(self._mapped(partial(_steering, kind=kind))))

    def masks(self) -> Pictures:
        """For each picture something that may be made anew, chosen by the seed: 255 there, `[N, size, size]`."""
        return numpy.stack(list(self._mapped(partial(_mask, seed=self.seed))))

    def directions(self) -> NDArray[numpy.float32]:
        """Where the light of each picture comes from: right, up, towards us, `[N, 3]`, each of length one."""
        return numpy.array([light_of(scene).towards for scene in self.scenes], dtype=numpy.float32)

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

    def dataset(self, steering: Steering | None = None, masked: bool = False, wordings: int = 6) -> Dataset:
        """The lessons as the trainer's dataset, several wordings for each, with steering pictures or masks where they are asked for."""
        import torch

        from marquetry.engine.training.dataset import Dataset, Example

        words, pictures = random.Random(self.seed), self.pictures()
        hints = self.steering(steering) if steering else None
        masks = self.masks() if masked else None
        examples = [
            Example(
                f"scene {index}",
                torch.from_numpy(pictures[index]),
                tuple(self.caption(index, words) for _ in range(wordings)),
                hint=None if hints is None else torch.from_numpy(hints[index]),
                mask=None if masks is None else torch.from_numpy(masks[index]),
            )
            for index in range(len(self.scenes))
        ]
        return Dataset(tuple(examples))

    def clips(self, frames: int, motions: Sequence[str] = MOTIONS) -> Pictures:
        """Each scene as a clip, `[N, frames, size, size, 3]`; scenes without people drift or turn."""
        return numpy.stack(list(self._mapped(partial(_clip, frames=frames, motions=tuple(motions)))))

    def _mapped(self, work: Callable[[Scene, int], T]) -> Iterator[T]:
        """What `work` makes of each scene, in order."""
        chunks = [self.scenes[start : start + CHUNK] for start in range(0, len(self.scenes), CHUNK)]
        each: Callable[[list[Scene]], list[T]] = partial(_each, work=work, size=self.size)
        if self.processes == 1 or len(chunks) < 2:
            yield from (made for chunk in chunks for made in each(chunk))
            return
        with ProcessPoolExecutor(self.processes, mp_context=get_context("spawn")) as pool:
            yield from (made for part in pool.map(each, chunks) for made in part)


def _each(scenes: list[Scene], work: Callable[[Scene, int], T], size: int) -> list[T]:
    return [work(scene, size) for scene in scenes]


def _picture_and_seen(scene: Scene, size: int) -> tuple[Pictures, Attributes]:
    drawing = draw(scene, size)
    return finish(drawing), attributes(drawing)


def _steering(scene: Scene, size: int, kind: Steering) -> Pictures:
    truth = truth_of(draw(scene, size))
    if kind == "pose":
        return pose_picture(truth.people, size)
    grey = truth.depth if kind == "depth" else truth.edges.astype(numpy.float32)
    return numpy.repeat((grey * 255.0).round().astype(numpy.uint8)[..., None], 3, axis=2)


def _mask(scene: Scene, size: int, seed: int) -> Pictures:
    truth = truth_of(draw(scene, size))
    chance = random.Random(seed * SEED_STRIDE + scene.seed)
    return truth.masks[chance.choice(_maskable(truth))].astype(numpy.uint8) * 255


def _maskable(truth: Truth) -> list[str]:
    """People, things and larger parts; whatever there is where there are none."""
    named = [name for name, mask in truth.masks.items() if name.startswith(("actor", "prop")) and mask.mean() > 0.004]
    return named or list(truth.masks)


def _clip(scene: Scene, size: int, frames: int, motions: tuple[str, ...]) -> Pictures:
    usable = [motion for motion in motions if scene.actors or motion in ("clouds", "turn")] or ["turn"]
    motion = usable[scene.seed % len(usable)]
    return numpy.stack([picture(moment, size) for moment in frames_of(scene, motion, frames, CLIP_FRAMES_PER_SECOND)])
