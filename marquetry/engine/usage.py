"""Usage: what a node execution consumed, in units and without a price. The market prices it.

A rule reads the node's inputs: before a run literals, and for what is linked a `Foreseen` that bounds it; after it the values themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

LATENT_PIXELS = 8  # along each side of one latent value
MEGAPIXEL = 2**20
MAX_FACTOR = 8  # by which a node enlarges what it is given
STEPS = 50  # of a sampler that count as one image
PREMIUM_FAMILIES = ("flux", "sd3", "qwen", "hidream", "chroma", "z_image", "hunyuan")
"""What the ids of families begin with whose pictures are `image.premium`: several times the work of Stable Diffusion 1 to XL."""


@dataclass(frozen=True, slots=True)
class Usage:
    """`operation` is a key of the price book (`image.standard`, `lora.apply`, ...), `quantity` counts its unit.

    `resources` are the content hashes of weights, graphs and packs that the execution drew upon.
    """

    operation: str
    quantity: int = 1
    resources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Extent:
    """A batch of pictures: pixels along the sides, and how many there are."""

    width: int
    height: int
    count: int = 1

    @property
    def megapixels(self) -> int:
        """Of one picture, those begun."""
        return max(1, -(-self.width * self.height // MEGAPIXEL))

    def at_least(self, other: Extent) -> Extent:
        """What holds either."""
        return Extent(max(self.width, other.width), max(self.height, other.height), max(self.count, other.count))


@dataclass(frozen=True, slots=True)
class Foreseen:
    """Bounds of a value that a run will make: of pictures and latents, of a number, and the model families that may be in it.

    `known`: the number is what it will be, not a limit that somebody declared.
    """

    extent: Extent
    number: int
    families: frozenset[str] = frozenset()
    known: bool = True


UsageRule: TypeAlias = Callable[[Mapping[str, Any]], tuple[Usage, ...]]
ExtentRule: TypeAlias = Callable[[Mapping[str, Any]], Extent]


def operation(key: str, quantity: Callable[[Mapping[str, Any]], int] | int = 1) -> UsageRule:
    """A rule that names one operation; `quantity` is a number or counts from the node's inputs."""

    def rule(inputs: Mapping[str, Any]) -> tuple[Usage, ...]:
        return (Usage(key, quantity(inputs) if callable(quantity) else quantity),)

    return rule


def sampling(latent: str | ExtentRule = "latent_image", steps: str = "steps", model: str = "model") -> UsageRule:
    """Pictures made by a sampler, counted in images of a megapixel and `STEPS` steps, both begun. `latent` says how large they are."""
    extent = same(latent) if isinstance(latent, str) else latent

    def rule(inputs: Mapping[str, Any]) -> tuple[Usage, ...]:
        return images(extent(inputs), _steps(inputs, steps), families_of(inputs.get(model)))

    return rule


def images(extent: Extent, steps: int, families: frozenset[str]) -> tuple[Usage, ...]:
    """A batch of pictures made in so many steps; premium if one of the families is."""
    premium = any(family.startswith(PREMIUM_FAMILIES) for family in families)
    bands = max(1, -(-steps // STEPS))
    return (Usage("image.premium" if premium else "image.standard", extent.count * extent.megapixels * bands),)


def pictures(key: str, images: str = "image") -> UsageRule:
    """One operation for each picture of a batch."""
    return operation(key, lambda inputs: extent_of(inputs.get(images)).count)


def same(name: str) -> ExtentRule:
    """Outputs are as large as an input, or smaller."""
    return lambda inputs: extent_of(inputs.get(name))


def sized(width: str = "width", height: str = "height", count: str | None = None, like: str | None = None) -> ExtentRule:
    """Outputs have the size that two inputs name. A side of 0 follows from the picture `like`, whose count they have too."""

    def rule(inputs: Mapping[str, Any]) -> Extent:
        model = extent_of(inputs.get(like)) if like is not None else Extent(1, 1)
        wide, high = _side(inputs.get(width), "width"), _side(inputs.get(height), "height")
        if wide == 0 and high == 0:
            return model
        wide = wide or -(-model.width * high // max(1, model.height))
        high = high or -(-model.height * wide // max(1, model.width))
        return Extent(wide, high, model.count if count is None else _side(inputs.get(count), "count"))

    return rule


def scaled(name: str, factor: str) -> ExtentRule:
    """Outputs are an input with both sides times a factor."""

    def rule(inputs: Mapping[str, Any]) -> Extent:
        given, by = extent_of(inputs.get(name)), inputs.get(factor, 1)
        by = MAX_FACTOR if isinstance(by, Foreseen) and not by.known else by.number if isinstance(by, Foreseen) else by
        return Extent(int(given.width * by) + 1, int(given.height * by) + 1, given.count)

    return rule


def times(name: str, count: str, *, whole: bool = True) -> ExtentRule:
    """Outputs are an input so many times over; not `whole`: so many single pictures of it."""

    def rule(inputs: Mapping[str, Any]) -> Extent:
        given = extent_of(inputs.get(name))
        return replace(given, count=max(1, _side(inputs.get(count), "count")) * (given.count if whole else 1))

    return rule


def joined(*names: str) -> ExtentRule:
    """Outputs are several inputs in one batch, at the size of the first."""

    def rule(inputs: Mapping[str, Any]) -> Extent:
        parts = [extent_of(inputs.get(name)) for name in names]
        return replace(parts[0], count=sum(part.count for part in parts))

    return rule


def largest(*names: str) -> ExtentRule:
    """Outputs are as large as the largest of some inputs."""

    def rule(inputs: Mapping[str, Any]) -> Extent:
        found = Extent(1, 1)
        for name in names:
            found = found.at_least(extent_of(inputs.get(name)))
        return found

    return rule


def extent_of(value: Any) -> Extent:
    """Of pictures `[B, H, W, C]`, of latents `{"samples": [B, C, (T,) h, w]}`, of lists of either; nothing is one pixel."""
    if isinstance(value, Foreseen):
        return value.extent
    if isinstance(value, Extent):
        return value
    if isinstance(value, list) and value:
        parts = [extent_of(part) for part in value]
        return Extent(max(part.width for part in parts), max(part.height for part in parts), sum(part.count for part in parts))
    if isinstance(value, Mapping):
        shape = tuple(getattr(value.get("samples"), "shape", ()))
        if len(shape) < 4:
            return Extent(1, 1)
        frames = shape[2] if len(shape) == 5 else 1
        return Extent(shape[-1] * LATENT_PIXELS, shape[-2] * LATENT_PIXELS, shape[0] * frames)
    shape = tuple(getattr(value, "shape", ()))
    return Extent(shape[-2], shape[-3], shape[0]) if len(shape) == 4 else Extent(1, 1)


def number_of(value: Any) -> int:
    """A whole number, rounded up; of a schedule, its steps; of lists, the largest. What is no number is 0."""
    if isinstance(value, Foreseen):
        return value.number
    if isinstance(value, bool) or value is None:
        return 0
    if isinstance(value, (int, float)):
        return -int(-value // 1)
    if isinstance(value, list):
        return max(map(number_of, value), default=0)
    shape = tuple(getattr(value, "shape", ()))
    return max(0, shape[0] - 1) if len(shape) == 1 else 0


def _side(value: Any, name: str) -> int:
    """A number that is a side or a count; where it is not known, that of the pictures it may come from."""
    if isinstance(value, Foreseen) and not value.known:
        return int(getattr(value.extent, name))
    return number_of(value)


def families_of(value: Any) -> frozenset[str]:
    """The families of a model, or of the model that a guider drives."""
    if isinstance(value, Foreseen):
        return value.families
    if isinstance(value, list):
        return frozenset().union(*map(families_of, value))
    family = getattr(value, "family", None) or getattr(getattr(value, "model", None), "family", None)
    return frozenset({family}) if isinstance(family, str) else frozenset()


def _steps(inputs: Mapping[str, Any], name: str) -> int:
    steps, start, end = number_of(inputs.get(name)), inputs.get("start_at_step"), inputs.get("end_at_step")
    if end is not None:
        steps = min(steps, number_of(end))
    return max(0, steps - (0 if isinstance(start, Foreseen) else number_of(start)))
