"""Dataset: captioned pictures to learn from, some of them kept back to measure on. Immutable; pictures are bytes `[H, W, 3]`."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy
import torch
from torch import Tensor

from marquetry.engine.errors import InvalidPicture
from marquetry.engine.pictures.decoding import decode
from marquetry.engine.training.errors import TrainingFailed

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"})
PICTURES_MAX = 10_000
CAPTION_BYTES_MAX = 20_000
PIXELS_MAX = 40_000_000
TOTAL_BYTES_MAX = 8 * 2**30


@dataclass(frozen=True, eq=False)
class Example:
    """One picture, uint8 `[H, W, 3]`, with its wordings; `name` tells it apart in messages. `weight` is how often it comes up.

    `hint` is a picture beside it that steers, such as its edges; `mask`, uint8 `[H, W]`, is 255 where something is to be made anew.
    """

    name: str
    picture: Tensor
    captions: tuple[str, ...] = ("",)
    weight: int = 1
    hint: Tensor | None = None
    mask: Tensor | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return int(self.picture.shape[0]), int(self.picture.shape[1])

    def caption(self, draw: random.Random) -> str:
        """One of the wordings."""
        return self.captions[0] if len(self.captions) == 1 else draw.choice(self.captions)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Examples to learn from, and those kept back. `trigger` begins every caption, so that a prompt can call what was learnt."""

    examples: tuple[Example, ...]
    held_out: tuple[Example, ...] = ()
    trigger: str = ""

    def __len__(self) -> int:
        return len(self.examples)

    def split(self, share: float, seed: int) -> Dataset:
        """The same with a share of the examples kept back, chosen by the seed; always the same ones, wherever they stand."""
        every = [*self.examples, *self.held_out]
        ranked = sorted(range(len(every)), key=lambda index: hashlib.sha256(f"{seed} {every[index].name}".encode()).digest())
        count = min(round(share * len(every)), len(every) - 1)
        kept_back = set(ranked[:count])
        learnt = tuple(example for index, example in enumerate(every) if index not in kept_back)
        return replace(self, examples=learnt, held_out=tuple(every[index] for index in sorted(kept_back)))

    def with_trigger(self, trigger: str) -> Dataset:
        """The same with every caption beginning with the trigger words."""
        return replace(self, trigger=trigger.strip())

    def worded(self, text: str) -> str:
        """A caption with the trigger before it."""
        return ", ".join(part for part in (self.trigger, text) if part)

    def key(self) -> str:
        """A hash of all that the dataset holds: equal for equal pictures, captions and split."""
        digest = hashlib.sha256(self.trigger.encode())
        for part in (self.examples, self.held_out):
            digest.update(b"|")
            for example in part:
                digest.update(repr((example.size, example.captions, example.weight)).encode())
                for tensor in (example.picture, example.hint, example.mask):
                    digest.update(b"-" if tensor is None else tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()


def from_memory(pictures: Sequence[Tensor], captions: Sequence[str | Sequence[str]]) -> Dataset:
    """A dataset of bytes `[H, W, 3]`, or floats in 0..1, with one caption or several wordings each."""
    if len(pictures) != len(captions):
        raise TrainingFailed(f"there are {len(pictures)} pictures and {len(captions)} captions; give one caption for each picture")
    examples = [
        Example(f"picture {number}", as_bytes(picture), (caption,) if isinstance(caption, str) else tuple(caption) or ("",))
        for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True), start=1)
    ]
    return Dataset(require_some(examples, "the dataset"))


def with_hints(dataset: Dataset, hints: Sequence[Tensor]) -> Dataset:
    """The dataset with a steering picture for each example to learn from, in their order."""
    if len(hints) != len(dataset):
        raise TrainingFailed(f"there are {len(dataset)} pictures and {len(hints)} steering pictures; give one for each picture")
    examples = tuple(replace(example, hint=as_bytes(hint)) for example, hint in zip(dataset.examples, hints, strict=True))
    return replace(dataset, examples=examples)


def from_folder(folder: Path, *, repeats: int = 1, caption_suffix: str = ".txt") -> Dataset:
    """The pictures below a folder; each line of the text file beside a picture is one wording of its caption.

    A subfolder named as kohya's trainers do, `10_name`, comes up ten times as often. Raises TrainingFailed for a folder without
    pictures, or with too many, and for a picture that can't be read.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith("."))
    if len(paths) > PICTURES_MAX:
        raise TrainingFailed(f"{folder.name} holds {len(paths):,} pictures; at most {PICTURES_MAX:,} are read")
    examples: list[Example] = []
    total = 0
    for path in paths:
        example = _read(path, folder, repeats, caption_suffix)
        total += example.picture.nbytes
        if total > TOTAL_BYTES_MAX:
            raise TrainingFailed(f"the pictures of {folder.name} take more than {TOTAL_BYTES_MAX >> 30} GiB; shrink them or take fewer")
        examples.append(example)
    return Dataset(require_some(examples, folder.name))


def require_some(examples: Iterable[Example], where: str) -> tuple[Example, ...]:
    """The examples. Raises TrainingFailed when there are none."""
    found = tuple(examples)
    if not found:
        kinds = ", ".join(sorted(suffix.removeprefix(".") for suffix in PICTURE_SUFFIXES))
        raise TrainingFailed(f"{where} holds no pictures; add some ({kinds}), each with a .txt of the same name as its caption")
    return found


def as_bytes(picture: Tensor) -> Tensor:
    """A picture `[H, W, C]`, floats in 0..1 or bytes, as bytes `[H, W, 3]`."""
    if picture.is_floating_point():
        picture = (picture.clamp(0.0, 1.0) * 255.0).round().byte()
    if picture.shape[-1] == 1:
        picture = picture.expand(-1, -1, 3)
    return picture[..., :3].contiguous()


def _read(path: Path, folder: Path, repeats: int, caption_suffix: str) -> Example:
    name = path.relative_to(folder).as_posix()
    try:
        frame = decode(path, max_pixels=PIXELS_MAX).pixels[0]
    except InvalidPicture as error:
        raise TrainingFailed(f"{name}: {error.message}", picture=name) from error
    if frame.dtype != numpy.uint8:
        frame = (frame // 257).astype(numpy.uint8)
    picture = torch.from_numpy(numpy.ascontiguousarray(frame))
    if picture.shape[-1] == 4:  # transparent parts become white
        alpha = picture[..., 3:].float() / 255.0
        picture = (picture[..., :3].float() * alpha + 255.0 * (1.0 - alpha)).round().byte()
    return Example(name, as_bytes(picture), _captions(path.with_suffix(caption_suffix), name), repeats * _repeats_of(path.parent.name))


def _captions(path: Path, name: str) -> tuple[str, ...]:
    if not path.is_file():
        return ("",)
    if path.stat().st_size > CAPTION_BYTES_MAX:
        raise TrainingFailed(f"the caption of {name} is longer than {CAPTION_BYTES_MAX:,} bytes", picture=name)
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    return tuple(line for line in lines if line) or ("",)


def _repeats_of(folder: str) -> int:
    number, underscore, _ = folder.partition("_")
    return max(1, min(1000, int(number))) if underscore and number.isdecimal() else 1
