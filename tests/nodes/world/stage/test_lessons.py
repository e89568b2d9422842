"""Lessons of the drawn world: what a trainer takes from them."""

from __future__ import annotations

import random

import numpy

from marquetry.nodes.world.stage.casting import is_held_out
from marquetry.nodes.world.stage.lessons import StageLessons


def test_lessons_are_pictures_with_captions_of_known_words() -> None:
    lessons = StageLessons(12, seed=1, size=64, processes=1)
    pictures = lessons.pictures()
    assert pictures.shape == (12, 64, 64, 3)
    assert pictures.dtype == numpy.uint8
    draw = random.Random(0)
    for index in range(12):
        for _ in range(20):
            assert set(lessons.caption(index, draw).replace(",", " , ").split()) <= lessons.words()


def test_lessons_and_examinations_share_no_combination() -> None:
    assert not any(is_held_out(scene) for scene in StageLessons(40, seed=1, size=64).scenes)
    assert all(is_held_out(scene) for scene in StageLessons(40, seed=1, size=64, held_out=True).scenes)


def test_the_same_lessons_are_drawn_by_one_process_or_several() -> None:
    alone = StageLessons(66, seed=2, size=64, processes=1).pictures()
    together = StageLessons(66, seed=2, size=64, processes=2).pictures()
    assert numpy.array_equal(alone, together)
