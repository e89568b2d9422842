"""The nodes of the drawn world, as graphs use them."""

from __future__ import annotations

import json

import pytest
import torch

from marquetry.engine.declare import node_type
from marquetry.engine.errors import NodeFailed
from marquetry.nodes.world_scene import world_character, world_clip, world_mask, world_scene


class Watching:
    """What a clip reports to while it is drawn."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, float]] = []

    def check(self) -> None:
        """Nobody cancels."""

    def progress(self, value: float, total: float) -> None:
        self.steps.append((value, total))


def test_a_scene_comes_with_caption_masks_depth_edges_and_pose() -> None:
    drawn = world_scene(seed=4, setting="beach", people="1", size=64)
    for picture in (drawn.IMAGE, drawn.depth, drawn.edges, drawn.pose):
        assert picture.shape == (1, 64, 64, 3)
        assert picture.min() >= 0.0 and picture.max() <= 1.0
    truth = json.loads(drawn.truth)
    assert truth["attributes"]["setting"] == "beach"
    assert drawn.masks.shape == (len(truth["masks"]), 64, 64)
    assert [int(mask.sum()) for mask in drawn.masks] == [mask["pixels"] for mask in truth["masks"].values()]
    assert drawn.caption


def test_a_description_gives_the_same_picture_again() -> None:
    first = world_scene(seed=9, size=64)
    again = world_scene(seed=1, size=64, description=first.description)
    assert torch.equal(first.IMAGE, again.IMAGE)


def test_a_character_can_be_put_into_any_scene_pose_and_view() -> None:
    mia = world_character(name="Mia", seed=3, kind="girl", hair_colour="red", hair_style="braids")
    for setting, pose, view in (("room", "sitting", "front"), ("castle", "waving", "three-quarter left")):
        drawn = world_scene(seed=2, setting=setting, shot="medium", style="flat", size=128, character=mia, pose=pose, view=view)
        scene = json.loads(drawn.truth)["scene"]["actors"][0]
        assert scene["person"] == json.loads(mia)
        assert scene["pose"] == pose
        assert json.loads(drawn.truth)["attributes"]["actor 0 hair colour"] == "red"


def test_the_mask_of_a_part_is_found_by_its_name() -> None:
    drawn = world_scene(seed=4, setting="field", people="1", shot="medium", size=64)
    hair = world_mask(drawn.masks, drawn.truth, "actor 0 hair")
    person = world_mask(drawn.masks, drawn.truth, "actor 0")
    assert 0 < hair.sum() < person.sum()
    with pytest.raises(NodeFailed, match="doesn't show 'dragon'"):
        world_mask(drawn.masks, drawn.truth, "dragon")
    with pytest.raises(NodeFailed, match="not the truth"):
        world_mask(drawn.masks, "[]", "sky")


def test_a_clip_tells_how_far_the_mouth_is_open() -> None:
    watching = Watching()
    clip = world_clip(watching, seed=2, motion="talk", frames=10, shot="close-up", size=64)  # type: ignore[arg-type]
    assert clip.IMAGE.shape == (10, 64, 64, 3)
    openings = [frame["people"][0]["mouth_opening"] for frame in json.loads(clip.truth)]
    assert len(openings) == 10
    assert max(openings) > 0.3
    assert watching.steps[-1] == (10, 10)


def test_what_cannot_be_drawn_is_an_error_of_the_node() -> None:
    with pytest.raises(NodeFailed, match="setting is 'moon'"):
        world_scene(description='{"setting": "moon"}')
    with pytest.raises(NodeFailed, match=r"character\.kind"):
        world_scene(character='{"kind": 3}')


def test_the_nodes_explain_themselves() -> None:
    for function in (world_scene, world_character, world_clip, world_mask):
        assert len(node_type(function).description) > 60
