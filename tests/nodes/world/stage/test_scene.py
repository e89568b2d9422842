"""Scenes: values that go to JSON and back, and that refuse what can't be drawn."""

from __future__ import annotations

import json

import pytest

from marquetry.nodes.world.stage.casting import person_of, scene_of
from marquetry.nodes.world.stage.scene import MAX_ACTORS, Actor, Garment, Outfit, Scene, SceneError
from marquetry.nodes.world.stage.wire import person_from_json, scene_from_json, to_json


def test_a_scene_survives_json() -> None:
    for seed in range(200):
        assert scene_from_json(to_json(scene_of(seed))) == scene_of(seed)


def test_a_character_survives_json() -> None:
    for seed in range(50):
        assert person_from_json(to_json(person_of(seed, name="Mia"))) == person_of(seed, name="Mia")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"setting": "moon"}', "setting is 'moon'; it may be one of: room, cafe"),
        ('{"setting": "room", "colour": 3}', "scene has no 'colour'"),
        ('{"setting": "room", "yaw": "far"}', 'scene.yaw is "far"; it must be float'),
        ('{"setting": "room", "yaw": 1e99}', "yaw is 1e+99; it may be from -30.0 to 30.0"),
        ('{"setting": "room", "yaw": NaN}', "yaw is nan"),
        ('{"setting": "room", "actors": {}}', "scene.actors is dict; it must be a list"),
        ('{"setting": "room", "props": [{"kind": "cat", "colour": "invisible"}]}', "scene.props[0]: the colour of the cat is 'invisible'"),
        ("{}", "scene lacks something"),
        ("[" * 5000, "the description is no JSON"),
        ('"' + "x" * 30_000 + '"', "at most 20000 are read"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, said: str) -> None:
    with pytest.raises(SceneError) as caught:
        scene_from_json(text)
    assert said in str(caught.value)


def test_a_scene_holds_no_more_than_two_actors() -> None:
    actors = tuple(Actor(person_of(seed)) for seed in range(MAX_ACTORS + 1))
    with pytest.raises(SceneError, match="at most 2 actors"):
        Scene("room", actors=actors)


def test_an_outfit_is_a_dress_or_a_top_with_a_bottom() -> None:
    with pytest.raises(SceneError, match="needs a dress"):
        Outfit(top=Garment("shirt", "red"))
    with pytest.raises(SceneError, match="either a dress"):
        Outfit(top=Garment("shirt", "red"), bottom=Garment("shorts", "red"), dress=Garment("dress", "red"))


def test_numbers_of_a_kind_that_json_has_are_taken() -> None:
    assert scene_from_json(json.dumps({"setting": "room", "yaw": 3})).yaw == 3.0
