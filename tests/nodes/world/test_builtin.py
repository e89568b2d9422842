"""The shipped model is small, says what it is, is recognised by the engine's `sd1` family, and paints what it is asked for."""

from pathlib import Path

import pytest
import torch

from marquetry.engine.folders import Folders
from marquetry.engine.models.builtin import add_builtin_models
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.training.sampling import SamplingPlan
from marquetry.engine.training.single_file import read_facts, read_model
from marquetry.engine.training.vocabulary import token_ids
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


def test_the_engine_reads_the_same_networks_as_the_trainer(tmp_path: Path) -> None:
    folders = Folders(data=tmp_path)
    add_builtin_models(folders)
    library = ModelLibrary(folders, device="cpu", dtype="float32", text_dtype="float32", vae_dtype="float32")
    model = read_model(BUILTIN_MODEL)
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))

    loaded = library.load_checkpoint(BUILTIN_MODEL.name)

    assert loaded.clip is not None and loaded.vae is not None
    with torch.no_grad():
        hidden = model.text_encoder(token_ids(["a red cat on the beach, at night"])).last_hidden_state
        decoded = model.autoencoder.decode(latents).sample
    assert loaded.model.family == "sd1"
    torch.testing.assert_close(loaded.clip.encode("a red cat on the beach, at night").embedding, hidden)
    torch.testing.assert_close(loaded.vae.decode(latents), ((decoded + 1.0) / 2.0).clamp(0.0, 1.0).permute(0, 2, 3, 1))


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
