"""Scenes and their renders: pure, distinct, and split fairly into what is taught and what is kept back."""

import subprocess
import sys
from collections import Counter

import pytest

from marquetry.nodes.world.render import render
from marquetry.nodes.world.scene import COLOURS, SETTINGS, SUBJECTS, TIMES_OF_DAY, Content, all_contents, is_held_out, jittered


def test_the_same_scene_renders_to_the_same_pixels() -> None:
    scene = jittered(Content("cat", "red", "beach", "night"), 7)

    assert render(scene).tobytes() == render(scene).tobytes()


def test_every_combination_renders_and_no_two_look_alike() -> None:
    pictures = {render(jittered(content, 1)).tobytes() for content in all_contents()}

    assert len(pictures) == len(SUBJECTS) * len(COLOURS) * len(SETTINGS) * len(TIMES_OF_DAY)


def test_larger_renders_keep_the_layout() -> None:
    scene = jittered(Content("boat", "blue", "desert", "day"), 3)

    assert render(scene, 128).resize((8, 8)).size == render(scene).resize((8, 8)).size
    assert render(scene, 128).size == (128, 128)


def test_a_tenth_of_the_combinations_is_held_out() -> None:
    held_out = [content for content in all_contents() if is_held_out(content)]

    assert 0.08 < len(held_out) / len(list(all_contents())) < 0.12


@pytest.mark.parametrize("attribute", ["subject", "colour", "setting", "time_of_day"])
def test_each_attribute_is_both_taught_and_examined(attribute: str) -> None:
    seen = Counter((is_held_out(content), getattr(content, attribute)) for content in all_contents())
    values = {value for _, value in seen}

    assert {(part, value) for part in (False, True) for value in values} == set(seen)


def test_the_world_loads_without_torch() -> None:
    modules = "scene, render, captions, lessons, checker, exam, builtin, measure"
    program = f"import sys; from marquetry.nodes.world import {modules}; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
