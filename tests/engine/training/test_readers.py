"""Networks for measuring: what they read from pictures that they never saw, and that their files read back to the bit."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from torch import Tensor

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.training.captioner import (
    CaptionerFacts,
    CaptionerStage,
    describe,
    joined,
    lexicon,
    read_captioner,
    split,
    write_captioner,
)
from marquetry.engine.training.dataset import Dataset, from_memory
from marquetry.engine.training.errors import TrainingFailed
from marquetry.engine.training.loop import Loop
from marquetry.engine.training.readers import (
    UNKNOWN,
    ReaderFacts,
    ReaderStage,
    read_attributes,
    read_directions,
    read_reader,
    style_facts,
    write_reader,
)
from marquetry.engine.training.recipe import StageRecipe
from marquetry.engine.training.weight_file import write_weights

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (40, 60, 230)}
PLACES = ("left", "right")
FACTS = ReaderFacts("attributes", 16, (16, 24, 32), {"colour": tuple(COLOURS), "place": PLACES})


def square(colour: str, place: str, seed: int) -> Tensor:
    """A square of a colour on one side of grey noise."""
    picture = torch.randint(80, 130, (16, 16, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    draw = random.Random(seed)
    top, left = draw.randrange(2, 9), draw.randrange(0, 3) + (9 if place == "right" else 1)
    picture[top : top + 5, left : left + 4] = torch.tensor(COLOURS[colour], dtype=torch.uint8)
    return picture


def drawn(count: int, first_seed: int) -> list[tuple[Tensor, str, str]]:
    draw = random.Random(first_seed)
    chosen = [(draw.choice(list(COLOURS)), draw.choice(PLACES)) for _ in range(count)]
    return [(square(colour, place, first_seed + number), colour, place) for number, (colour, place) in enumerate(chosen)]


def shaded(direction: Tensor, seed: int) -> Tensor:
    """A ball lit from a direction."""
    rows, columns = torch.meshgrid(torch.linspace(1, -1, 16), torch.linspace(-1, 1, 16), indexing="ij")
    height = (1.0 - rows**2 - columns**2).clamp(min=0.0).sqrt()
    light = (torch.stack([columns, rows, height], dim=-1) @ direction).clamp(min=0.0) * (height > 0)
    colour = 0.4 + 0.6 * torch.rand(3, generator=torch.Generator().manual_seed(seed))
    return (light[..., None] * colour * 255.0).byte()


def directions(count: int, seed: int) -> Tensor:
    found = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    found[:, 2] = found[:, 2].abs() + 0.3
    return torch.nn.functional.normalize(found, dim=-1)


@pytest.fixture(scope="module")
def taught() -> ReaderStage:
    examples = drawn(120, 0)
    truths = {
        "colour": torch.tensor([list(COLOURS).index(colour) for _, colour, _ in examples]),
        "place": torch.tensor([PLACES.index(place) for _, _, place in examples]),
    }
    truths["place"][:10] = UNKNOWN
    stage = ReaderStage([picture for picture, _, _ in examples], truths, FACTS, StageRecipe(70, 24, 4e-3, 5, 0.9), seed=0)
    Loop(stage).run()
    return stage


def test_attributes_are_read_from_pictures_never_seen(taught: ReaderStage, tmp_path: Path) -> None:
    write_reader(tmp_path / "reader.safetensors", taught.trained(), "reader", {"marquetry.accuracy": "0.99"})
    reader = read_reader(tmp_path / "reader.safetensors")
    examples = drawn(60, 5000)
    answers = read_attributes(reader, [picture for picture, _, _ in examples])
    right = [
        answer["colour"][0] == colour and answer["place"][0] == place for answer, (_, colour, place) in zip(answers, examples, strict=True)
    ]
    assert sum(right) >= 55
    assert all(0.0 < sure <= 1.0 for answer in answers for _, sure in answer.values())
    assert all(torch.equal(weight, reader.state_dict()[name]) for name, weight in taught.trained().state_dict().items())


def test_the_direction_of_light_is_read_within_a_few_degrees(tmp_path: Path) -> None:
    truth = directions(96, 0)
    pictures = [shaded(direction, number) for number, direction in enumerate(truth)]
    stage = ReaderStage(
        pictures, {"direction": truth}, ReaderFacts("direction", 16, (16, 24, 32)), StageRecipe(80, 24, 4e-3, 5, 0.9), seed=0
    )
    Loop(stage).run()
    unseen = directions(30, 1)
    read = read_directions(stage.trained(), [shaded(direction, 500 + number) for number, direction in enumerate(unseen)])
    angles = torch.rad2deg(torch.acos((read * unseen).sum(dim=-1).clamp(-1.0, 1.0)))
    assert float(angles.mean()) < 15.0
    torch.testing.assert_close(read.norm(dim=-1), torch.ones(30))


def test_a_style_classifier_is_a_reader_with_one_question() -> None:
    facts = style_facts(("flat", "ink"), side=16)
    stage = ReaderStage([square("red", "left", 0)] * 4, {"style": torch.tensor([0, 1, 0, 1])}, facts, StageRecipe(1, 2, 1e-3), seed=0)
    stage.advance()
    assert read_attributes(stage.trained(), [square("red", "left", 0)])[0]["style"][0] in ("flat", "ink")


def test_truths_must_be_there_for_every_picture() -> None:
    with pytest.raises(TrainingFailed, match="the truth about colour, place"):
        ReaderStage([square("red", "left", 0)], {"colour": torch.tensor([0])}, FACTS, StageRecipe(1, 1, 1e-3), seed=0)


def test_other_files_are_no_readers(tmp_path: Path) -> None:
    write_weights(tmp_path / "other.safetensors", {"a": torch.zeros(1)}, {})
    with pytest.raises(ModelFormatError, match="holds no picture reader"):
        read_reader(tmp_path / "other.safetensors")
    with pytest.raises(ModelFormatError, match="holds no caption model"):
        read_captioner(tmp_path / "other.safetensors")
    write_weights(tmp_path / "damaged.safetensors", {"a": torch.zeros(1)}, {"marquetry.reader": "{}"})
    with pytest.raises(ModelFormatError, match="is damaged"):
        read_reader(tmp_path / "damaged.safetensors")


def captioned(count: int, seed: int) -> Dataset:
    examples = drawn(count, seed)
    return from_memory([picture for picture, _, _ in examples], [f"A {colour} square, {place}." for _, colour, place in examples])


def test_captions_are_written_of_pictures_never_seen(tmp_path: Path) -> None:
    dataset = captioned(120, 0)
    facts = CaptionerFacts(lexicon(dataset), side=16, patch=4, width=64, layers=1, length=12)
    stage = CaptionerStage(dataset, StageRecipe(120, 24, 3e-3, 5, 0.9), seed=0, facts=facts)
    Loop(stage).run()
    write_captioner(tmp_path / "captions.safetensors", stage.trained(), "captions")
    unseen = captioned(40, 7000)
    said = describe(read_captioner(tmp_path / "captions.safetensors"), [example.picture for example in unseen.examples])
    right = sum(text == example.captions[0].lower() for text, example in zip(said, unseen.examples, strict=True))
    assert right >= 34


def test_words_and_marks_come_apart_and_together_again() -> None:
    assert split("A cat's hat, red!") == ["a", "cat's", "hat", ",", "red", "!"]
    assert joined(split("A cat's hat, red!")) == "a cat's hat, red!"


def test_a_dataset_without_captions_is_refused() -> None:
    with pytest.raises(TrainingFailed, match="no picture has a caption"):
        CaptionerStage(from_memory([square("red", "left", 0)], [""]), StageRecipe(1, 1, 1e-3), seed=0)
