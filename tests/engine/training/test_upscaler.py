"""Upscaler and face restorer: better than what needs no learning, and read by spandrel to the bit."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file
from torch import Tensor

from marquetry.engine.models.upscaling import spandrel
from marquetry.engine.training.dataset import Dataset, from_memory
from marquetry.engine.training.degradation import Degradation, blurred, compressed
from marquetry.engine.training.errors import TrainingFailed
from marquetry.engine.training.loop import Loop
from marquetry.engine.training.recipe import StageRecipe
from marquetry.engine.training.upscaler import (
    FACE_RESTORER,
    UpscalerRecipe,
    UpscalerStage,
    gain_over_lanczos_db,
    read_upscaler,
    signal_to_noise_db,
    write_upscaler,
)

QUICK = StageRecipe(steps=90, batch=4, learning_rate=3e-3, warmup_steps=5, ema_decay=0.9)
RECIPE = UpscalerRecipe(QUICK, Degradation(blur=0.0, noise=0.0, filters=("bicubic",)), features=24, convolutions=3, crop=32)


def drawing(seed: int) -> Tensor:
    """Flat shapes with hard edges."""
    import numpy

    draw = random.Random(seed)
    image = Image.new("RGB", (64, 64), tuple(draw.randrange(256) for _ in range(3)))
    pen = ImageDraw.Draw(image)
    for _ in range(8):
        x, y, side = draw.randrange(56), draw.randrange(56), draw.randrange(8, 30)
        shape = draw.choice((pen.rectangle, pen.ellipse))
        shape((x, y, x + side, y + side), fill=tuple(draw.randrange(256) for _ in range(3)))
    return torch.from_numpy(numpy.array(image))


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return from_memory([drawing(seed) for seed in range(12)], [""] * 12)


def test_an_upscaler_learns_and_reads_back(dataset: Dataset, tmp_path: Path) -> None:
    stage = UpscalerStage(dataset, RECIPE, seed=0)
    held_out = [drawing(seed) for seed in range(100, 104)]
    untaught = gain_over_lanczos_db(stage.network, held_out)
    Loop(stage).run()
    write_upscaler(tmp_path / "up.safetensors", stage.trained(), RECIPE, "up")
    network = read_upscaler(load_file(tmp_path / "up.safetensors"))
    assert gain_over_lanczos_db(network, held_out) > untaught + 0.4


@pytest.mark.parametrize("recipe", [RECIPE, replace(FACE_RESTORER, features=16, convolutions=2)], ids=["4x", "restorer"])
def test_spandrel_reads_the_file_and_answers_the_same(dataset: Dataset, recipe: UpscalerRecipe, tmp_path: Path) -> None:
    stage = UpscalerStage(dataset, replace(recipe, crop=32, stage=QUICK), seed=0)
    stage.advance()
    write_upscaler(tmp_path / "up.safetensors", stage.trained(), recipe, "up")
    found = spandrel().ModelLoader(device="cpu").load_from_file(tmp_path / "up.safetensors")
    assert (found.architecture.id, found.scale) == ("Compact", recipe.scale)
    assert found.purpose == ("Restoration" if recipe.scale == 1 else "SR")
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(found.model(x), read_upscaler(stage.trained())(x), atol=0.0, rtol=0.0)


def test_a_restorer_undoes_some_of_the_damage(dataset: Dataset) -> None:
    recipe = replace(
        FACE_RESTORER, features=16, convolutions=3, crop=32, stage=replace(QUICK, steps=80), degradation=Degradation(2, 0.8, 0.1, 60, True)
    )
    stage = UpscalerStage(dataset, recipe, seed=0)
    Loop(stage).run()
    network = read_upscaler(stage.trained())
    truth = [drawing(seed).permute(2, 0, 1).float() / 255.0 for seed in range(100, 108)]
    bad = [recipe.degradation.apply(picture, random.Random(number)) for number, picture in enumerate(truth)]
    made = [network(picture[None])[0] for picture in bad]
    before, after = (sum(signal_to_noise_db(one, good) for one, good in zip(each, truth, strict=True)) for each in (bad, made))
    assert after > before + 2.0  # over eight pictures


def test_damage_is_drawn_from_the_seed_and_keeps_or_shrinks_the_size() -> None:
    picture = torch.rand(3, 32, 32)
    worse = Degradation(4, 1.0, 0.1, 50)
    assert torch.equal(worse.apply(picture, random.Random(1)), worse.apply(picture, random.Random(1)))
    assert worse.apply(picture, random.Random(1)).shape == (3, 8, 8)
    assert Degradation(4, 1.0, 0.1, 50, same_size=True).apply(picture, random.Random(1)).shape == (3, 32, 32)
    assert float(blurred(picture, 2.0).std()) < 0.5 * float(picture.std())
    assert float((compressed(picture, 20) - picture).abs().mean()) > float((compressed(picture, 95) - picture).abs().mean())


def test_pictures_smaller_than_the_crop_are_named(dataset: Dataset) -> None:
    with pytest.raises(TrainingFailed, match="picture 1 is 64x64; at least 96"):
        UpscalerStage(dataset, replace(RECIPE, crop=96), seed=0)
