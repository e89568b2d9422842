"""What may be wrong with a dataset's pictures: too small, blurred, twice the same, without a caption. Nothing is changed silently."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from marquetry.engine.training.dataset import Dataset, Example
from marquetry.engine.training.errors import TrainingFailed

Fault: TypeAlias = Literal["too_small", "blurred", "duplicate", "no_caption"]
HASH_SIDE = 8
SAME_BITS = 3  # of 64; pictures that differ in no more are taken for the same
BLUR_SIDE = 256
SHARPNESS_MIN = 12.0  # variance of the Laplacian of 0..255 grey; a photograph in focus has hundreds, flat drawings tens
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of one picture, in words."""

    fault: Fault
    name: str
    message: str


def findings(dataset: Dataset, *, side_min: int = 0, sharpness_min: float = SHARPNESS_MIN) -> tuple[Finding, ...]:
    """All that is found, in the order of the examples."""
    every = [*dataset.examples, *dataset.held_out]
    found = [finding for example in every for finding in _of_one(example, side_min, sharpness_min)]
    return (*found, *_duplicates(every))


def without(dataset: Dataset, found: Sequence[Finding], faults: frozenset[Fault]) -> Dataset:
    """The dataset less the pictures with one of the faults. Raises TrainingFailed when nothing is left to learn from."""
    names = {finding.name for finding in found if finding.fault in faults}
    kept = tuple(example for example in dataset.examples if example.name not in names)
    if not kept:
        raise TrainingFailed(f"all {len(dataset)} pictures were filtered out ({', '.join(sorted(faults))}); add better ones or filter less")
    return replace(dataset, examples=kept, held_out=tuple(example for example in dataset.held_out if example.name not in names))


def perceptual_hash(picture: Tensor) -> int:
    """64 bits that say where a small grey version grows brighter from left to right; equal for what looks equal."""
    small = functional.interpolate(grey(picture)[None, None], size=(HASH_SIDE, HASH_SIDE + 1), mode="area")[0, 0]
    bits = (small[:, 1:] > small[:, :-1] + 0.5).flatten().tolist()
    return sum(1 << place for place, bit in enumerate(bits) if bit)


def sharpness(picture: Tensor) -> float:
    """The variance of the Laplacian of the picture at most 256 pixels wide: low where nothing is in focus."""
    values = grey(picture)[None, None]
    scale = BLUR_SIDE / max(values.shape[-2:])
    if scale < 1.0:
        values = functional.interpolate(values, scale_factor=scale, mode="area")
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])[None, None]
    return float(functional.conv2d(values, kernel).var()) if min(values.shape[-2:]) > 2 else 0.0


def grey(picture: Tensor) -> Tensor:
    """`[H, W, 3]` bytes as luma 0..255 `[H, W]`."""
    return (picture.float() * torch.tensor(LUMA)).sum(dim=-1)


def _of_one(example: Example, side_min: int, sharpness_min: float) -> Iterator[Finding]:
    height, width = example.size
    if min(height, width) < side_min:
        yield Finding("too_small", example.name, f"{example.name} is {width}x{height}; its sides should be {side_min} or more")
    if (measured := sharpness(example.picture)) < sharpness_min:
        yield Finding("blurred", example.name, f"{example.name} seems blurred or empty (sharpness {measured:.0f} of {sharpness_min:.0f})")
    if not any(caption.strip() for caption in example.captions):
        yield Finding("no_caption", example.name, f"{example.name} has no caption; put a .txt of the same name beside it")


def _duplicates(examples: Sequence[Example]) -> Iterator[Finding]:
    seen: list[tuple[int, Example]] = []
    for example in examples:
        mark = perceptual_hash(example.picture)
        twin = next((other for known, other in seen if (known ^ mark).bit_count() <= SAME_BITS and _alike(example, other)), None)
        if twin is None:
            seen.append((mark, example))
        else:
            yield Finding("duplicate", example.name, f"{example.name} looks the same as {twin.name}")


def _alike(one: Example, other: Example) -> bool:
    """Whether small colour versions agree too: a hash of brightness alone takes a red and a blue house for the same."""
    small = [
        functional.interpolate(example.picture.permute(2, 0, 1)[None].float(), size=(HASH_SIDE, HASH_SIDE), mode="area")
        for example in (one, other)
    ]
    return float((small[0] - small[1]).abs().mean()) < 8.0
