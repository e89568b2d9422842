"""The built-in world's noun: one simple scene, fully described by a frozen value.

Everything that the world can show is listed here; a scene's picture follows from its fields alone.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

SUBJECTS: tuple[str, ...] = ("cat", "house", "car", "tree", "fish", "boat", "flower", "rocket")
COLOURS: tuple[str, ...] = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
SETTINGS: tuple[str, ...] = ("field", "beach", "forest", "snow", "city", "desert")
TIMES_OF_DAY: tuple[str, ...] = ("day", "night")


@dataclass(frozen=True, slots=True, order=True)
class Content:
    """What a scene shows, without how it is laid out."""

    subject: str
    colour: str
    setting: str
    time_of_day: str


@dataclass(frozen=True, slots=True)
class Scene:
    """One scene. `x` is the subject's centre and `base` its foot, as fractions of the picture; `size` is its height."""

    content: Content
    x: float = 0.5
    base: float = 0.88
    size: float = 0.6
    mirrored: bool = False
    seed: int = 0


def all_contents() -> Iterator[Content]:
    """Every combination of subject, colour, setting and time of day, in a fixed order."""
    for subject in SUBJECTS:
        for colour in COLOURS:
            for setting in SETTINGS:
                for time_of_day in TIMES_OF_DAY:
                    yield Content(subject, colour, setting, time_of_day)


def is_held_out(content: Content) -> bool:
    """True for the tenth of all combinations that training never sees; each single attribute appears in both parts."""
    rank = (
        SUBJECTS.index(content.subject)
        + 3 * COLOURS.index(content.colour)
        + 7 * SETTINGS.index(content.setting)
        + 5 * TIMES_OF_DAY.index(content.time_of_day)
    )
    return rank % 10 == 0


def jittered(content: Content, seed: int) -> Scene:
    """The scene of `content` with place, size, side and background details drawn from `seed`."""
    draw = random.Random(seed)
    return Scene(
        content=content,
        x=draw.uniform(0.42, 0.58),
        base=draw.uniform(0.86, 0.92),
        size=draw.uniform(0.56, 0.66),
        mirrored=draw.random() < 0.5,
        seed=seed,
    )
