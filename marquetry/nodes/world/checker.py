"""Says what a picture of the built-in world shows, from its pixels alone: the best fitting render explains it.

A render is linear in its background and in its subject's colour, so each subject at each place is drawn once and
every colour and background is then tried by arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from PIL import Image

from marquetry.nodes.world.palette import subject_colour
from marquetry.nodes.world.render import PICTURE_SIZE, render_background, render_subject
from marquetry.nodes.world.scene import COLOURS, SETTINGS, SUBJECTS, TIMES_OF_DAY, Content, Scene, jittered

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Floats = NDArray[numpy.float32]

FITTING_SIZE = 32
PLACES_X = (0.43, 0.465, 0.5, 0.535, 0.57)
PLACES_BASE = (0.87, 0.905)
SIZES = (0.575, 0.61, 0.645)
BACKGROUND_SEEDS = 6
BACKGROUNDS_TRIED = 8
OPEN_COVERAGE_MAX = 0.1


@dataclass(frozen=True, slots=True)
class Finding:
    """What a picture shows, and how far its pixels are from the render that explains them (root mean square, 0..1)."""

    content: Content
    error: float


@dataclass(frozen=True, slots=True)
class Backgrounds:
    """Settings without a subject."""

    labels: list[tuple[str, str, bool]]  # setting, time of day, mirrored
    pixels: Floats  # [K, P, 3]


@dataclass(frozen=True, slots=True)
class Stencils:
    """Subjects in all their places: a picture is `through * background + tint * colour + fixed`."""

    subjects: list[str]
    through: Floats  # [T, P, 1]
    tint: Floats  # [T, P]
    fixed: Floats  # [T, P, 3]
    tint_power: Floats  # [T]


def check(picture: Image.Image) -> Finding:
    """The subject, colour, setting and time of day that explain a picture best."""
    import numpy

    pixels = _pixels(picture)
    best: Finding | None = None
    for index in _likely_backgrounds(pixels):
        setting, time_of_day, mirrored = _backgrounds().labels[index]
        stencils = _stencils(time_of_day, mirrored)
        palette = _palette(time_of_day)
        rest = pixels - stencils.through * _backgrounds().pixels[index] - stencils.fixed
        match = numpy.einsum("tp,tpc->tc", stencils.tint, rest)
        unexplained = numpy.einsum("tpc,tpc->t", rest, rest)
        errors = unexplained[:, None] - 2.0 * match @ palette.T + stencils.tint_power[:, None] * (palette * palette).sum(axis=1)[None]
        place, colour = divmod(int(errors.argmin()), len(COLOURS))
        error = float(max(errors[place, colour], 0.0) / pixels.size) ** 0.5
        if best is None or error < best.error:
            best = Finding(Content(stencils.subjects[place], COLOURS[colour], setting, time_of_day), error)
    assert best is not None
    return best


def _likely_backgrounds(pixels: Floats) -> list[int]:
    """The backgrounds that fit best where no subject ever stands."""
    backgrounds = _backgrounds()
    open_sky = _open_pixels()
    distance = ((backgrounds.pixels[:, open_sky] - pixels[open_sky]) ** 2).mean(axis=(1, 2))
    return [int(index) for index in distance.argsort()[:BACKGROUNDS_TRIED]]


@cache
def _backgrounds() -> Backgrounds:
    import numpy

    labels, pixels = [], []
    for setting in SETTINGS:
        for time_of_day in TIMES_OF_DAY:
            for mirrored in (False, True):
                for seed in range(BACKGROUND_SEEDS):
                    content = Content(SUBJECTS[0], COLOURS[0], setting, time_of_day)
                    scene = Scene(content, mirrored=mirrored, seed=jittered(content, seed).seed)
                    labels.append((setting, time_of_day, mirrored))
                    pixels.append(_pixels(render_background(scene)))
    return Backgrounds(labels, numpy.stack(pixels))


@cache
def _stencils(time_of_day: str, mirrored: bool) -> Stencils:
    import numpy

    subjects: list[str] = []
    through, tint, fixed = [], [], []
    black, white = (0, 0, 0), (255, 255, 255)
    for subject in SUBJECTS:
        content = Content(subject, COLOURS[0], SETTINGS[0], time_of_day)
        for x in PLACES_X:
            for base in PLACES_BASE:
                for size in SIZES:
                    scene = Scene(content, x=x, base=base, size=size, mirrored=mirrored)
                    dark = _pixels(render_subject(scene, black, black))
                    subjects.append(subject)
                    fixed.append(dark)
                    tint.append((_pixels(render_subject(scene, white, black)) - dark).mean(axis=1))
                    through.append((_pixels(render_subject(scene, black, white)) - dark).mean(axis=1, keepdims=True))
    tints = numpy.stack(tint)
    return Stencils(subjects, numpy.stack(through), tints, numpy.stack(fixed), (tints * tints).sum(axis=1))


@cache
def _open_pixels() -> NDArray[numpy.bool_]:
    import numpy

    coverage = numpy.zeros(FITTING_SIZE * FITTING_SIZE, dtype=numpy.float32)
    for mirrored in (False, True):
        coverage = numpy.maximum(coverage, 1.0 - _stencils("day", mirrored).through[:, :, 0].mean(axis=0))
    return coverage < OPEN_COVERAGE_MAX


@cache
def _palette(time_of_day: str) -> Floats:
    import numpy

    return numpy.array([subject_colour(name, time_of_day) for name in COLOURS], dtype=numpy.float32) / 255.0


def _pixels(picture: Image.Image) -> Floats:
    """A picture at fitting size, `[P, 3]` in 0..1."""
    import numpy

    small = picture.convert("RGB")
    if small.size != (PICTURE_SIZE, PICTURE_SIZE):
        small = small.resize((PICTURE_SIZE, PICTURE_SIZE), Image.Resampling.LANCZOS)
    small = small.resize((FITTING_SIZE, FITTING_SIZE), Image.Resampling.BOX)
    return numpy.asarray(small, dtype=numpy.float32).reshape(-1, 3) / 255.0
