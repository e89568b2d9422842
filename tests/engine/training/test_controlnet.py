"""A ControlNet begins as nothing, learns to follow its steering picture, and is written so that diffusers reads it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from marquetry.engine.models.stable_diffusion import sizes_of
from marquetry.engine.training.base_model import BaseModel
from marquetry.engine.training.controlnet import ControlNetRecipe, ControlNetStage
from marquetry.engine.training.controlnet_file import write_controlnet
from marquetry.engine.training.dataset import Dataset, as_bytes, from_memory, with_hints
from marquetry.engine.training.denoising import measured_loss
from marquetry.engine.training.errors import TrainingFailed
from marquetry.engine.training.lessons import lessons_of
from marquetry.engine.training.loop import Loop
from marquetry.engine.training.recipe import StageRecipe
from tests.engine.training.studio import SIDE, WORDS, base_of, context_in, painted

RECIPE = ControlNetRecipe(StageRecipe(steps=24, batch=6, learning_rate=2e-3, warmup_steps=5, ema_decay=0.9), caption_dropout=1.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="module")
def base(data: Path) -> BaseModel:
    return base_of(context_in(data))


@pytest.fixture(scope="module")
def steered(data: Path) -> Dataset:
    """Pictures with themselves, in four shades, as what steers."""
    pictures = painted(data)
    plain = from_memory([as_bytes(picture) for picture in pictures], list(WORDS))
    return with_hints(plain, [(picture * 3.0).round() / 3.0 for picture in pictures]).split(0.25, seed=1)


def test_it_begins_as_nothing_and_learns_to_follow(base: BaseModel, steered: Dataset) -> None:
    stage = ControlNetStage(base, lessons_of(base, steered, resolution=SIDE, caption_dropout=1.0), RECIPE, seed=0)
    learnt = lessons_of(base, steered, resolution=SIDE, caption_dropout=1.0)
    batch = learnt.draw(2, stage.draws())
    noised = stage.noised(batch, stage.draws())
    with torch.no_grad():
        plain: Tensor = stage.unet(noised.noisy, noised.timesteps, noised.context).sample
        assert torch.equal(stage.predict(batch, noised), plain)
    before = measured_loss(stage, learnt)
    Loop(stage).run()
    with stage.average.applied(stage.networks):
        after = measured_loss(stage, learnt)
    assert after < 0.9 * before


def test_diffusers_reads_both_layouts_and_answers_the_same(base: BaseModel, steered: Dataset, tmp_path: Path) -> None:
    stage = ControlNetStage(base, lessons_of(base, steered, resolution=SIDE), RECIPE, seed=0)
    controlnet: Any = stage.controlnet.eval()
    for parameter in controlnet.parameters():
        parameter.data = (parameter.data + 0.02 * torch.randn_like(parameter)).half().float()
    controlnet.save_config(tmp_path)
    denoiser = base.model.found.denoiser
    assert denoiser is not None
    for layout in ("original", "diffusers"):
        write_controlnet(tmp_path / f"{layout}.safetensors", controlnet.state_dict(), sizes_of(denoiser), {"a": "b"}, layout)
    reader: Any = ControlNetModel
    read = reader.from_single_file(str(tmp_path / "original.safetensors"), config=str(tmp_path), local_files_only=True).float()
    own = reader(**controlnet.config)
    own.load_state_dict(load_file(tmp_path / "diffusers.safetensors"))
    given = torch.randn(2, 4, 8, 8), 300, torch.randn(2, 77, 64), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = controlnet(*given, return_dict=False)
        for answer in (read(*given, return_dict=False), own(*given, return_dict=False)):
            for wanted, got in zip([*expected[0], expected[1]], [*answer[0], answer[1]], strict=True):
                torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)
    with safe_open(tmp_path / "original.safetensors", framework="pt") as file:
        assert {"control_model.input_hint_block.14.weight", "control_model.middle_block_out.0.bias"} <= set(file.keys())
        assert all(name.startswith("control_model.") for name in file.keys())  # noqa: SIM118


def test_pictures_without_a_steering_picture_are_named(base: BaseModel, steered: Dataset) -> None:
    bare = replace(steered, examples=tuple(replace(example, hint=None) for example in steered.examples))
    with pytest.raises(TrainingFailed, match=r"12 pictures have no steering picture beside them, such as picture \d+"):
        ControlNetStage(base, lessons_of(base, bare, resolution=SIDE), RECIPE, seed=0)
    with pytest.raises(TrainingFailed, match="switch mirroring off"):
        ControlNetStage(base, lessons_of(base, steered, resolution=SIDE, flipped=True), RECIPE, seed=0)
    with pytest.raises(TrainingFailed, match="12 pictures and 0 steering pictures"):
        with_hints(steered, [])
