"""Pictures from one node."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

from marquetry.graphs.library import load_graph, place_samples
from tests.graphs.test_library import MODEL, Studio

SETTINGS = {"model_name": MODEL, "prompt": "a red house", "negative_prompt": "rain", "steps": 2, "cfg": 4.0, "seed": 5,
            "sampler_name": "dpmpp_2m", "scheduler": "karras"}  # fmt: skip


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Any:
    studio = Studio(tmp_path_factory.mktemp("studio"))
    yield studio
    studio.close()


def saved(id: str) -> dict[str, Any]:
    return {"class_type": "SaveImage", "inputs": {"images": [id, 0], "filename_prefix": "node"}}


def test_text_to_image_gives_what_its_graph_gives(studio: Studio) -> None:
    graph = load_graph("text_to_image", prompt="a red house", negative_prompt="rain", steps=2, cfg=4.0, seed=5)
    (expected,) = studio.pictures(studio.run(graph, job_id="graph"))
    node = {"1": {"class_type": "TextToImage", "inputs": {**SETTINGS, "width": 64, "height": 64}}, "2": saved("1")}
    (actual,) = studio.pictures(studio.run(node, job_id="node"))
    assert numpy.array_equal(actual, expected)


def test_image_to_image_gives_what_its_graph_gives_and_goes_further_with_strength(studio: Studio) -> None:
    place_samples("image_to_image", studio.folders)
    graph = load_graph("image_to_image", prompt="a red house", negative_prompt="rain", steps=2, cfg=4.0, seed=5, strength=0.5)
    (expected,) = studio.pictures(studio.run(graph, job_id="graph"))

    def made(strength: float, **more: Any) -> Any:
        node = {
            "1": {"class_type": "LoadImage", "inputs": {"image": "sample_car.png"}},
            "2": {"class_type": "ImageToImage", "inputs": {**SETTINGS, "image": ["1", 0], "strength": strength, **more}},
            "3": saved("2"),
        }
        return studio.pictures(studio.run(node, job_id=f"node {strength}"))[0]

    assert numpy.array_equal(made(0.5), expected)
    assert not numpy.array_equal(made(1.0), expected)
    assert made(0.5, width=32, height=96).shape == (96, 32, 3)


def test_a_strength_out_of_range_is_refused(studio: Studio) -> None:
    node = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
        "2": {"class_type": "ImageToImage", "inputs": {**SETTINGS, "image": ["1", 0], "strength": 0.05, "width": 0, "height": 0}},
        "3": saved("2"),
    }
    assert [problem.type for problem in studio.check(node).problems] == ["value_smaller_than_min"]
