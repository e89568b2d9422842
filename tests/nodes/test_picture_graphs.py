"""Whole graphs of picture nodes through the executor: files in, files out, lazy branches, lists, and what is done again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from marquetry.engine.declare import node_type
from marquetry.engine.pictures import decode, encode_png, read_workflow
from marquetry.nodes import arithmetic, flow, image, image_composite, image_filter, image_io, logic, mask, primitive, string
from tests.engine.execution.workshop import Workshop, n

MODULES: tuple[ModuleType, ...] = (arithmetic, flow, image, image_composite, image_filter, image_io, logic, mask, primitive, string)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    workshop = Workshop(tmp_path)
    workshop.folders.create()
    for module in MODULES:
        for value in vars(module).values():
            if hasattr(value, "__node_type__") and value.__module__ == module.__name__:
                workshop.registry.add(node_type(value))
    yield workshop
    workshop.close()


def put(shop: Workshop, name: str, shade: int) -> None:
    (shop.folders.input / name).write_bytes(encode_png(np.full((8, 12, 3), shade, np.uint8)))


def test_a_picture_is_loaded_changed_and_saved_with_its_graph(shop: Workshop) -> None:
    put(shop, "x.png", 200)
    prompt = {
        "1": n("LoadImage", image="x.png"),
        "2": n("ImageScale", image=["1", 0], upscale_method="nearest-exact", width=6, height=4, crop="disabled"),
        "3": n("ImageInvert", image=["2", 0]),
        "4": n("SaveImage", images=["3", 0], filename_prefix="a/b"),
    }
    ended = shop.run(prompt)
    assert ended.state == "completed", ended.failures
    assert ended.ui["4"] == {"images": [{"filename": "b_00001_.png", "subfolder": "a", "type": "output"}]}
    path = shop.folders.output / "a/b_00001_.png"
    assert (decode(path).pixels == 54).all() and decode(path).pixels.shape == (1, 4, 6, 3)  # 255 * (1 - 200 / 255) is a little less than 55
    assert read_workflow(path.read_bytes())["prompt"] == prompt


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(shop: Workshop) -> None:
    put(shop, "x.png", 10)
    prompt = {"1": n("LoadImage", image="x.png"), "2": n("PreviewImage", images=["1", 0])}
    assert shop.run(prompt).ran == ["1", "2"]
    assert shop.run(prompt, job_id="again").ran == []
    put(shop, "x.png", 250)
    assert shop.run(prompt, job_id="third").ran == ["1", "2"]


def test_a_changed_output_file_is_read_again_too(shop: Workshop) -> None:
    target = shop.folders.output / "x.png"
    target.write_bytes(encode_png(np.zeros((4, 4, 3), np.uint8)))
    prompt = {"1": n("LoadImageOutput", image="x.png"), "2": n("PreviewImage", images=["1", 0])}
    assert shop.run(prompt).state == "completed"
    target.write_bytes(encode_png(np.ones((4, 4, 3), np.uint8)))
    assert shop.run(prompt, job_id="again").ran == ["1", "2"]


def test_a_missing_file_is_found_before_the_run(shop: Workshop) -> None:
    validation = shop.check({"1": n("LoadImage", image="no.png"), "2": n("PreviewImage", images=["1", 0])})
    assert not validation.outputs and validation.problems


def test_only_the_chosen_branch_runs(shop: Workshop) -> None:
    prompt = {
        "1": n("MathExpression", expression="a > b", a=3, b=2),
        "2": n("EmptyImage", width=4, height=4, batch_size=1, color=0xFFFFFF),
        "3": n("EmptyImage", width=8, height=8, batch_size=1, color=0),
        "4": n("ComfySwitchNode", switch=["1", 2], on_true=["2", 0], on_false=["3", 0]),
        "5": n("SaveImage", images=["4", 0], filename_prefix="chosen"),
    }
    ended = shop.run(prompt)
    assert ended.state == "completed", ended.failures
    assert "2" in ended.ran and "3" not in ended.ran
    assert (decode(shop.folders.output / "chosen_00001_.png").pixels == 255).all()


def test_only_the_case_of_the_index_runs(shop: Workshop) -> None:
    prompt = {
        "1": n("PrimitiveString", value="zero"),
        "2": n("PrimitiveString", value="one"),
        "3": n("PrimitiveString", value="else"),
        "4": n("SwitchCase", index=1, case_0=["1", 0], case_1=["2", 0], otherwise=["3", 0]),
        "5": n("PreviewAny", source=["4", 0]),
    }
    ended = shop.run(prompt)
    assert ended.ui["5"] == {"text": ["one"]}
    assert set(ended.ran) == {"2", "4", "5"}


def test_a_list_of_batches_is_saved_batch_by_batch(shop: Workshop) -> None:
    prompt = {
        "1": n("EmptyImage", width=4, height=4, batch_size=5, color=255),
        "2": n("RebatchImages", images=["1", 0], batch_size=2),
        "3": n("GetImageSize", image=["2", 0]),
        "4": n("PreviewAny", source=["3", 2]),
        "5": n("SaveImage", images=["2", 0], filename_prefix="part"),
    }
    ended = shop.run(prompt)
    assert ended.state == "completed", ended.failures
    assert ended.ui["4"] == {"text": ["2", "2", "1"]}
    assert [file["filename"] for file in ended.ui["5"]["images"]] == [f"part_{number:05}_.png" for number in range(1, 6)]


def test_a_mask_goes_its_whole_way(shop: Workshop) -> None:
    prompt = {
        "1": n("SolidMask", value=0.0, width=9, height=9),
        "2": n("SolidMask", value=1.0, width=1, height=1),
        "3": n("MaskComposite", destination=["1", 0], source=["2", 0], x=4, y=4, operation="add"),
        "4": n("GrowMask", mask=["3", 0], expand=2, tapered_corners=False),
        "5": n("MaskToImage", mask=["4", 0]),
        "6": n("SaveImage", images=["5", 0], filename_prefix="mask"),
    }
    assert shop.run(prompt).state == "completed"
    expected = np.zeros((9, 9), np.uint8)
    expected[2:7, 2:7] = 255
    assert np.array_equal(decode(shop.folders.output / "mask_00001_.png").pixels[0, ..., 0], expected)


def test_a_refusal_names_its_reason(shop: Workshop) -> None:
    prompt = {
        "1": n("EmptyImage", width=4, height=4096, batch_size=1, color=0),
        "2": n("ImageScale", image=["1", 0], upscale_method="area", width=64, height=0, crop="disabled"),
        "3": n("PreviewImage", images=["2", 0]),
    }
    ended = shop.run(prompt)
    assert ended.state == "failed"
    assert "a side may have at most 16384" in ended.failures[0].message
