"""Lessons of the drawn world: what a trainer takes from them."""

from __future__ import annotations

import random

import numpy

from marquetry.nodes.world.stage.casting import Wishes, is_held_out
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


def test_lessons_come_with_steering_pictures_masks_and_light() -> None:
    lessons = StageLessons(8, seed=3, size=64, wishes=Wishes(actors=1), processes=1)
    for kind in ("edges", "depth", "pose"):
        steering = lessons.steering(kind)
        assert steering.shape == (8, 64, 64, 3)
        assert (steering.max(axis=(1, 2, 3)) > 100).all()
    masks = lessons.masks()
    assert masks.shape == (8, 64, 64)
    assert set(numpy.unique(masks)) == {0, 255}
    assert numpy.allclose(numpy.linalg.norm(lessons.directions(), axis=1), 1.0, atol=1e-5)


def test_lessons_are_a_dataset_for_trainers() -> None:
    dataset = StageLessons(3, seed=3, size=64, processes=1).dataset(steering="depth", masked=True, wordings=2)
    assert len(dataset) == 3
    for example in dataset.examples:
        assert example.picture.shape == (64, 64, 3)
        assert example.hint is not None and example.hint.shape == (64, 64, 3)
        assert example.mask is not None and example.mask.shape == (64, 64)
        assert len(example.captions) == 2


def test_lessons_move() -> None:
    clips = StageLessons(3, seed=5, size=64, processes=1).clips(4)
    assert clips.shape == (3, 4, 64, 64, 3)
    assert all((clip[0] != clip[-1]).any() for clip in clips)
