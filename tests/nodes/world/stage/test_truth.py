"""Pictures of the drawn world and what is said about them: both come from one drawing."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy
import pytest

from marquetry.nodes.world.stage.captions import KINDS, caption
from marquetry.nodes.world.stage.casting import Wishes, person_of, scene_of
from marquetry.nodes.world.stage.figure.landmarks import BODY
from marquetry.nodes.world.stage.render import draw, picture
from marquetry.nodes.world.stage.scene import Actor, Prop, Scene, SceneError
from marquetry.nodes.world.stage.seen import PART_OF_PLACE
from marquetry.nodes.world.stage.style import finish
from marquetry.nodes.world.stage.truth import pose_picture, truth_of
from marquetry.nodes.world.stage.vocabulary import EXPRESSIONS, LIGHTS, PROPS, SETTINGS, SHOTS, STYLES, TIMES, VIEWS, WEATHERS

DIGEST = """
import hashlib, json
from marquetry.nodes.world.stage.casting import scene_of
from marquetry.nodes.world.stage.render import draw
from marquetry.nodes.world.stage.style import finish
from marquetry.nodes.world.stage.truth import truth_of
total = hashlib.sha256()
for seed in range(12):
    drawing = draw(scene_of(seed), 128)
    truth = truth_of(drawing)
    total.update(finish(drawing).tobytes() + truth.depth.tobytes() + json.dumps(truth.told()).encode())
print(total.hexdigest())
"""


def test_the_same_scene_is_the_same_bytes_in_two_processes() -> None:
    digests = {subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True).stdout for _ in range(2)}
    assert len(digests) == 1


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_is_drawn_in_every_style(setting: str, style: str) -> None:
    pixels = picture(scene_of(3, Wishes(setting=setting, style=style)), 64)
    assert pixels.shape == (64, 64, 3)
    assert pixels.std() > 12


def test_styles_hours_weathers_and_lights_change_the_picture() -> None:
    scene = scene_of(5, Wishes(setting="field", actors=1, time="day", weather="clear", shot="wide", style="flat"))
    for field, values in (("style", STYLES), ("time", TIMES), ("weather", WEATHERS), ("light", LIGHTS), ("shot", SHOTS)):
        changes: list[dict[str, Any]] = [{field: value} for value in values]
        shown = {picture(replace(scene, **change), 64).tobytes() for change in changes}
        assert len(shown) == len(values)


@pytest.mark.parametrize("kind", PROPS)
def test_every_animal_and_thing_is_seen(kind: str) -> None:
    drawing = draw(Scene("field", shot="medium", props=(Prop(kind, "red"),)), 64)
    truth = truth_of(drawing)
    assert truth.attributes["prop 0 kind"] == kind
    assert truth.masks["prop 0"].mean() > 0.02


@pytest.mark.parametrize("size", [63, 0, 100, 4096])
def test_a_size_that_is_no_multiple_of_64_is_refused(size: int) -> None:
    with pytest.raises(SceneError, match="multiple of 64"):
        picture(Scene("room"), size)


def test_a_caption_claims_only_what_is_true_and_seen() -> None:
    words = random.Random(1)
    for seed in range(60):
        truth = truth_of(draw(scene_of(seed), 128))
        for kind in KINDS:
            for held_out in (False, True):
                written = caption(truth.attributes, words, kind, held_out)
                assert written.text
                for what, value in written.claims:
                    assert truth.attributes[what] == value
                    for mask in masks_of(what):
                        assert truth.masks[mask].sum() >= 4, (seed, what, mask)


def masks_of(claim: str) -> list[str]:
    """The masks that must not be empty when something is claimed."""
    role, _, rest = claim.partition(" ")
    if role not in ("actor", "prop"):
        return []
    number, _, what = rest.partition(" ")
    if role == "prop":
        return [f"prop {number}"]
    place = what.split()[0]
    if place in PART_OF_PLACE:
        return [f"actor {number} {PART_OF_PLACE[place]}"]
    part = {"hair": "hair", "skin": "face", "expression": "mouth"}.get(place)
    return [f"actor {number}"] + ([f"actor {number} {part}"] if part else [])


def test_a_face_that_is_turned_away_has_no_expression() -> None:
    actor = Actor(person_of(1), expression="angry")
    shown = {view: truth_of(draw(Scene("room", shot="medium", actors=(replace(actor, view=view),)), 128)).attributes for view in VIEWS}
    assert "actor 0 expression" not in shown["back"]
    assert all(shown[view]["actor 0 expression"] == "angry" for view in VIEWS[:3])


def test_expressions_look_different() -> None:
    actor = Actor(person_of(4))
    faces = [picture(Scene("room", shot="close-up", actors=(replace(actor, expression=expression),)), 64) for expression in EXPRESSIONS]
    assert len({face.tobytes() for face in faces}) == len(EXPRESSIONS)


def test_parts_lie_inside_their_thing_and_all_masks_cover_the_picture() -> None:
    for seed in range(12):
        truth = truth_of(draw(scene_of(seed, Wishes(actors=1)), 128))
        covered = numpy.zeros((128, 128), dtype=numpy.int64)
        for name, mask in truth.masks.items():
            if name.startswith("actor 0 "):
                assert not (mask & ~truth.masks["actor 0"]).any()
            else:
                covered += mask
        assert (covered == 1).all()


def test_points_of_a_standing_person_lie_on_the_person() -> None:
    actor = Actor(person_of(2, "boy"))
    truth = truth_of(draw(Scene("field", actors=(actor,)), 256))
    points = truth.people[0].body
    assert list(points) == list(BODY)
    assert all(point.visible == 2 for point in points.values())
    mask = truth.masks["actor 0"]
    assert all(mask[round(point.y) - 3 : round(point.y) + 4, round(point.x) - 3 : round(point.x) + 4].any() for point in points.values())
    assert points["left_wrist"].x > points["right_wrist"].x
    assert points["left_ankle"].y > points["left_knee"].y > points["left_hip"].y > points["neck"].y > points["nose"].y


def test_eyes_of_somebody_seen_from_behind_are_not_visible() -> None:
    points = truth_of(draw(Scene("field", actors=(Actor(person_of(2), view="back"),)), 128)).people[0].body
    assert points["left_eye"].visible == points["nose"].visible == 0
    assert points["left_shoulder"].visible == 2


def test_what_is_nearer_is_brighter_in_the_depth() -> None:
    near, far = Prop("cat", "white", x=-0.6, z=0.0), Prop("cat", "white", x=0.9, z=4.0)
    truth = truth_of(draw(Scene("field", props=(near, far)), 128))
    depth = truth.depth
    assert depth[truth.masks["prop 0"]].mean() > 1.5 * depth[truth.masks["prop 1"]].mean()
    assert depth[truth.masks["sky"]].max() == 0.0
    assert depth.min() >= 0.0 and depth.max() == 1.0


def test_shade_lies_on_the_side_away_from_the_light() -> None:
    scene = Scene("field", style="flat", shot="medium", props=(Prop("sheep", "white"),))
    left, right = (picture(replace(scene, light=side), 128).astype(float) for side in ("left", "right"))
    mask = truth_of(draw(scene, 128)).masks["prop 0"]
    columns = numpy.flatnonzero(mask.any(axis=0))
    middle = (columns[0] + columns[-1]) // 2
    difference = (left - right).mean(axis=2)
    assert difference[:, :middle][mask[:, :middle]].mean() > 1.0
    assert difference[:, middle:][mask[:, middle:]].mean() < -1.0


def test_the_pose_picture_shows_people_only() -> None:
    people = truth_of(draw(Scene("field", actors=(Actor(person_of(2)),)), 128)).people
    assert pose_picture(people, 128).any()
    assert not pose_picture((), 128).any()


def test_a_character_keeps_its_looks_in_every_scene() -> None:
    mia = person_of(11, "girl", "Mia")
    for setting in SETTINGS:
        truth = truth_of(draw(Scene(setting, shot="medium", actors=(Actor(mia),)), 128))
        assert truth.attributes["actor 0 hair colour"] == mia.hair_colour
        assert truth.attributes["actor 0 hair style"] == mia.hair_style


def test_ink_shows_no_colours_and_claims_none() -> None:
    drawing = draw(scene_of(8, Wishes(style="ink", actors=1)), 128)
    assert not any(key.endswith("colour") for key in truth_of(drawing).attributes)
    pixels = finish(drawing).astype(int)
    assert (pixels.max(axis=2) - pixels.min(axis=2)).max() < 24
