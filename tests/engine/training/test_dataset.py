"""Datasets: reading, checking, splitting, and fitting pictures into few shapes."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image
from torch import Tensor

from marquetry.engine.training.buckets import Bucket, bucket_of, buckets, fitted
from marquetry.engine.training.dataset import from_folder, from_memory
from marquetry.engine.training.dataset_checks import findings, perceptual_hash, sharpness, without
from marquetry.engine.training.errors import TrainingFailed


def noise(seed: int, height: int = 32, width: int = 32) -> Tensor:
    return torch.from_numpy(numpy.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=numpy.uint8))


def save(path: Path, picture: Tensor, caption: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.numpy()).save(path)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption)


def test_a_folder_is_read_with_captions_and_repeats(tmp_path: Path) -> None:
    save(tmp_path / "a.png", noise(0), "a red house\na house that is red\n\n")
    save(tmp_path / "3_cats" / "b.png", noise(1, 16, 48))
    (tmp_path / "notes.md").write_text("no picture")
    dataset = from_folder(tmp_path, repeats=2)
    assert [example.name for example in dataset.examples] == ["3_cats/b.png", "a.png"]
    assert [example.weight for example in dataset.examples] == [6, 2]
    assert dataset.examples[1].captions == ("a red house", "a house that is red")
    assert dataset.examples[0].size == (16, 48)
    assert torch.equal(dataset.examples[1].picture, noise(0))


def test_transparent_parts_become_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert from_folder(tmp_path).examples[0].picture.min() == 255


@pytest.mark.parametrize("content", [None, b"no picture at all"])
def test_an_empty_folder_and_a_damaged_picture_are_refused_in_words(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(TrainingFailed, match="holds no pictures; add some" if content is None else r"broken\.png"):
        from_folder(tmp_path)


def test_captions_and_pictures_must_be_as_many() -> None:
    with pytest.raises(TrainingFailed, match="2 pictures and 1 captions"):
        from_memory([noise(0), noise(1)], ["a"])


def test_a_split_holds_back_the_same_examples_every_time() -> None:
    dataset = from_memory([noise(seed) for seed in range(10)], [str(seed) for seed in range(10)])
    split = dataset.split(0.3, seed=4)
    assert (len(split.examples), len(split.held_out)) == (7, 3)
    assert {e.name for e in split.examples} | {e.name for e in split.held_out} == {e.name for e in dataset.examples}
    assert split.split(0.3, seed=4).key() == split.key() != dataset.key()
    assert split.split(0.3, seed=5).key() != split.key()
    assert len(from_memory([noise(0)], ["a"]).split(0.5, seed=0)) == 1


def test_every_caption_begins_with_the_trigger() -> None:
    dataset = from_memory([noise(0)], ["a cat"]).with_trigger(" sks ")
    assert (dataset.worded("a cat"), dataset.worded("")) == ("sks, a cat", "sks")


def test_faults_are_found_and_filtered_on_request_only() -> None:
    sharp, small = noise(0, 64, 64), noise(1, 8, 8)
    twin = (sharp.float() * 0.98 + 1.0).byte()
    flat = torch.full((64, 64, 3), 90, dtype=torch.uint8)
    dataset = from_memory([sharp, small, twin, flat], ["a", "b", "c", ""])
    found = findings(dataset, side_min=32)
    assert {(finding.fault, finding.name) for finding in found} == {
        ("too_small", "picture 2"), ("duplicate", "picture 3"), ("blurred", "picture 4"), ("no_caption", "picture 4")
    }  # fmt: skip
    assert len(dataset) == 4
    kept = without(dataset, found, frozenset({"duplicate", "blurred"}))
    assert [example.name for example in kept.examples] == ["picture 1", "picture 2"]
    with pytest.raises(TrainingFailed, match="all 1 pictures were filtered out"):
        without(from_memory([flat], ["x"]), findings(from_memory([flat], ["x"])), frozenset({"blurred"}))


def test_two_pictures_of_one_brightness_and_other_colours_are_no_duplicates() -> None:
    shape = (torch.arange(64) > 32)[:, None].expand(64, 64)
    red, blue = torch.zeros(64, 64, 3, dtype=torch.uint8), torch.zeros(64, 64, 3, dtype=torch.uint8)
    red[shape], blue[shape] = torch.tensor([80, 0, 0], dtype=torch.uint8), torch.tensor([0, 0, 210], dtype=torch.uint8)
    assert perceptual_hash(red) == perceptual_hash(blue)
    assert findings(from_memory([red, blue], ["a", "b"]), sharpness_min=0.0) == ()


def test_blurring_lowers_sharpness() -> None:
    picture = noise(0, 64, 64)
    blurred = torch.nn.functional.avg_pool2d(picture.permute(2, 0, 1).float(), 5, 1, 2).permute(1, 2, 0).byte()
    assert sharpness(blurred) < 0.1 * sharpness(picture)


def test_buckets_have_the_same_area_at_most_and_even_sides() -> None:
    shapes = buckets(64, 16)
    assert Bucket(64, 64) in shapes and Bucket(32, 96) not in shapes and Bucket(48, 80) in shapes
    assert all(shape.height % 16 == 0 and shape.width % 16 == 0 and shape.height * shape.width <= 64 * 64 for shape in shapes)
    assert bucket_of(640, 640, shapes) == Bucket(64, 64)
    assert bucket_of(480, 800, shapes) == Bucket(48, 80)
    assert bucket_of(800, 480, shapes) == Bucket(80, 48)
    with pytest.raises(TrainingFailed, match="choose a multiple of 16"):
        buckets(60, 16)


def test_a_picture_covers_its_bucket_and_keeps_its_middle() -> None:
    picture = torch.zeros(20, 60, 3, dtype=torch.uint8)
    picture[:, 25:35] = 255
    cut = fitted(picture, Bucket(32, 32))
    assert cut.shape == (32, 32, 3)
    assert int(cut[16, 16, 0]) > 250 and int(cut[16, 1, 0]) < 5
    assert fitted(cut, Bucket(32, 32)) is cut
