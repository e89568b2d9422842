"""Clips of the drawn world: what moves, and that the truth moves with it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy
import pytest

from marquetry.nodes.world.stage.casting import Wishes, scene_of
from marquetry.nodes.world.stage.clips import frames_of
from marquetry.nodes.world.stage.render import draw, picture
from marquetry.nodes.world.stage.scene import SceneError
from marquetry.nodes.world.stage.truth import truth_of
from marquetry.nodes.world.stage.vocabulary import MOTIONS

SCENE = replace(scene_of(4, Wishes(setting="field", time="day", weather="clear", shot="medium", style="flat", actors=1)), props=())
SCENE = replace(SCENE, actors=(replace(SCENE.actors[0], view="front", expression="neutral"),))


@pytest.mark.parametrize("motion", MOTIONS)
def test_every_motion_moves_a_little_from_frame_to_frame(motion: str) -> None:
    frames = [picture(scene, 64).astype(float) for scene in frames_of(replace(SCENE, weather="clouds"), motion, 6)]
    steps = [float(numpy.abs(after - before).mean()) for before, after in pairwise(frames)]
    assert any(step > 0.02 for step in steps)
    assert max(steps) < 40.0


def test_a_mouth_that_talks_is_as_open_as_the_truth_says() -> None:
    truths = [truth_of(draw(scene, 128)) for scene in frames_of(replace(SCENE, shot="close-up"), "talk", 16)]
    openings = numpy.array([truth.people[0].mouth_opening for truth in truths])
    seen = numpy.array([truth.masks["actor 0 mouth"].sum() for truth in truths])
    assert openings.min() < 0.1
    assert openings.max() > 0.5
    assert numpy.corrcoef(openings, seen)[0, 1] > 0.8


def test_a_walker_goes_the_way_they_look() -> None:
    scenes = frames_of(replace(SCENE, shot="wide"), "walk", 8)
    places = [truth_of(draw(scene, 64)).people[0].body["neck"].x for scene in scenes]
    assert places == sorted(places)
    assert places[-1] - places[0] > 5


def test_only_clouds_drift_when_clouds_drift() -> None:
    first, *_, last = (truth_of(draw(scene, 64)) for scene in frames_of(replace(SCENE, shot="wide", weather="clouds"), "clouds", 8, 1.0))
    assert not numpy.array_equal(first.masks["clouds"], last.masks["clouds"])
    assert numpy.array_equal(first.masks["actor 0"], last.masks["actor 0"])


def test_nobody_walks_in_an_empty_scene() -> None:
    with pytest.raises(SceneError, match="needs somebody"):
        frames_of(replace(SCENE, actors=()), "walk", 4)


@pytest.mark.parametrize("count", [0, 257])
def test_a_clip_has_a_limit(count: int) -> None:
    with pytest.raises(SceneError, match="1 to 256"):
        frames_of(SCENE, "turn", count)
