"""Lessons: a dataset as a denoiser sees it: latents encoded once, by bucket, and captions encoded once, drawn in batches."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from marquetry.engine.training.base_model import BaseModel
from marquetry.engine.training.buckets import Bucket, bucket_of, buckets, fitted
from marquetry.engine.training.dataset import Dataset, Example
from marquetry.engine.training.errors import TrainingFailed
from marquetry.engine.training.stage import Draws

ENCODING_BATCH = 8
CHUNK = 77
SMALLEST_SHARE = 0.25  # of the resolution: smaller pictures would be mostly invented

Told = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples of one shape: `latents` [B, 4, h, w] as the denoiser sees them, `context` [B, 77, D], and the captions as text."""

    indexes: tuple[int, ...]
    latents: Tensor
    context: Tensor
    captions: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class TextTable:
    """Encoded captions by their words; those that are not there yet are encoded when they are asked for."""

    encode: Callable[[str], Tensor]
    known: dict[str, Tensor] = field(default_factory=dict)

    def look_up(self, captions: Sequence[str]) -> Tensor:
        """`[B, 77, D]`."""
        for caption in captions:
            if caption not in self.known:
                self.known[caption] = self.encode(caption)
        return torch.cat([self.known[caption] for caption in captions])


@dataclass(frozen=True, eq=False)
class Lessons:
    """Latents by bucket, and the captions that go with them. Flips, when asked for, double the examples."""

    dataset: Dataset
    examples: tuple[Example, ...]
    latents: dict[Bucket, Tensor]  # [N, 4, h, w]
    members: dict[Bucket, tuple[int, ...]]  # the examples behind each row of a bucket's latents
    texts: TextTable
    caption_dropout: float = 0.1

    def __len__(self) -> int:
        return sum(len(members) for members in self.members.values())

    def draw(self, batch: int, draws: Draws) -> Batch:
        """A batch of one bucket; a bucket comes up as often as its examples, weights counted, make out of all."""
        shapes = sorted(self.latents)
        weights = [sum(self.examples[index].weight for index in self.members[shape]) for shape in shapes]
        shape = draws.words.choices(shapes, weights)[0]
        members = self.members[shape]
        rows = draws.words.choices(range(len(members)), [self.examples[index].weight for index in members], k=batch)
        captions = tuple(self.caption(members[row], draws.words) for row in rows)
        return Batch(tuple(members[row] for row in rows), self.latents[shape][rows], self.texts.look_up(captions), captions)

    def caption(self, index: int, draw: random.Random) -> str:
        """One wording with its trigger, or nothing now and then so that guidance has something to lean on."""
        return "" if draw.random() < self.caption_dropout else self.dataset.worded(self.examples[index].caption(draw))


def lessons_of(
    base: BaseModel,
    dataset: Dataset,
    *,
    resolution: int,
    bucketed: bool = True,
    flipped: bool = False,
    caption_dropout: float = 0.1,
    held_out: bool = False,
    told: Told = lambda text: None,
    check: Callable[[], None] = lambda: None,
) -> Lessons:
    """Encodes a dataset, or the part of it that is held out. Raises TrainingFailed for pictures that are too small to learn from."""
    examples = dataset.held_out if held_out else dataset.examples
    if not examples:
        raise TrainingFailed("no pictures are held out to measure on; split the dataset first" if held_out else "the dataset is empty")
    step = base.bucket_step
    shapes = buckets(resolution, step) if bucketed else (Bucket(resolution, resolution),)
    rows: dict[Bucket, list[Tensor]] = {}
    members: dict[Bucket, list[int]] = {}
    for index, example in enumerate(examples):
        if min(example.size) < SMALLEST_SHARE * resolution:
            height, width = example.size
            raise TrainingFailed(f"{example.name} is {width}x{height}, too small to learn {resolution}x{resolution} from; leave it out")
        shape = bucket_of(*example.size, shapes)
        picture = fitted(example.picture, shape)
        for turned in (picture, picture.flip(1)) if flipped else (picture,):
            rows.setdefault(shape, []).append(turned)
            members.setdefault(shape, []).append(index)
    latents: dict[Bucket, Tensor] = {}
    for shape, pictures in rows.items():
        told(f"encoding {len(pictures)} pictures of {shape.width}x{shape.height}")
        latents[shape] = encode_pictures(base, pictures, check)
    texts = TextTable(lambda caption: encode_caption(base, caption))
    return Lessons(dataset, examples, latents, {shape: tuple(found) for shape, found in members.items()}, texts, caption_dropout)


def encode_pictures(base: BaseModel, pictures: Sequence[Tensor], check: Callable[[], None] = lambda: None) -> Tensor:
    """Bytes `[H, W, 3]` of one shape as the denoiser's latents `[N, 4, h, w]`."""
    parts = []
    for start in range(0, len(pictures), ENCODING_BATCH):
        check()
        part = torch.stack(list(pictures[start : start + ENCODING_BATCH])).float() / 255.0
        parts.append(base.model.latent_format.process_in(base.vae.encode(part)))
    return torch.cat(parts)


def encode_caption(base: BaseModel, caption: str) -> Tensor:
    """`[1, 77, D]` by the text encoder as it is linked; parentheses are plain words here, and what does not fit is cut off."""
    return base.clip.encode(escaped(caption)).embedding[:, :CHUNK]


def caption_ids(base: BaseModel, captions: Sequence[str]) -> Tensor:
    """Token ids `[B, 77]` of captions, for a text encoder that learns along."""
    chunks = [base.clip.first.tokenize(escaped(caption)).chunks[0] for caption in captions]
    return torch.tensor([[token if isinstance(token, int) else 0 for token, _ in chunk] for chunk in chunks])


def escaped(caption: str) -> str:
    """A caption as a prompt in which no parenthesis weighs anything."""
    return caption.replace("(", "\\(").replace(")", "\\)")
