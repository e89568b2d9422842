"""The shipped model is small, says what it is, is recognised by the engine's `sd1` family, and paints what it is asked for."""

from pathlib import Path

import pytest

from marquetry.engine.training.sampling import SamplingPlan
from marquetry.engine.training.single_file import read_facts, read_model
from marquetry.nodes.world.builtin import BUILTIN_MODEL, train_builtin
from marquetry.nodes.world.exam import Answer, questions, share_right, sit
from marquetry.nodes.world.measure import contact_sheet, reference_painter, table
from tests.engine.training.tiny import RECIPE

ASKED_COUNT = 24


@pytest.fixture(scope="module")
def answers() -> list[Answer]:
    return sit(questions()[:ASKED_COUNT], reference_painter(BUILTIN_MODEL, SamplingPlan(steps=15)))


def test_the_file_is_at_most_15_megabytes() -> None:
    assert BUILTIN_MODEL.stat().st_size <= 15_000_000


def test_the_file_says_what_it_is() -> None:
    facts = read_facts(BUILTIN_MODEL)

    assert facts["modelspec.architecture"] == "stable-diffusion-v1"
    assert facts["modelspec.license"] == "Apache-2.0"
    assert facts["modelspec.resolution"] == "64x64"


@pytest.mark.parametrize("attribute", ["subject", "colour", "setting", "time_of_day"])
def test_at_least_four_of_five_pictures_show_what_was_asked(answers: list[Answer], attribute: str) -> None:
    assert share_right(answers, attribute) >= 0.8


def test_marks_and_contact_sheet_are_made_from_the_answers(answers: list[Answer]) -> None:
    assert f"| all | {ASKED_COUNT} |" in table(answers)
    assert contact_sheet(answers).size == (12 * 128, 5 * 128)


def test_a_model_can_be_trained_from_nothing(tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    told: list[float] = []

    train_builtin(out, seed=3, report=lambda text, share: told.append(share), recipe=RECIPE, lessons_count=16)

    assert read_model(out).sizes == RECIPE.networks
    assert told[-1] == 1.0
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
