"""The loop: what it tells, that it stops at any step without losing one, and that it refuses to go on with what is no number."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from marquetry.engine.errors import Interrupted
from marquetry.engine.training.compute import Compute, installed_optimisers
from marquetry.engine.training.errors import TrainingFailed
from marquetry.engine.training.loop import Loop, Moment
from marquetry.engine.training.loss_curve import curve_picture, running_mean
from marquetry.engine.training.options import PRESETS, TrainingOptions
from marquetry.engine.training.recipe import Optimiser, StageRecipe
from marquetry.engine.training.stage import Draws, Stage


class Line(Stage):
    """Learns y = 3x."""

    def __init__(self, recipe: StageRecipe, compute: Compute | None = None, spoiled_at: int = -1) -> None:
        torch.manual_seed(0)
        super().__init__(nn.Linear(1, 1), recipe, seed=0, compute=compute)
        self.spoiled_at = spoiled_at

    def loss(self, draws: Draws) -> Tensor:
        x = torch.randn(self.recipe.batch, 1, generator=draws.tensors).to(self.compute.device)
        with self.compute.autocast():
            answer: Tensor = self.networks(x).float()
        error = (answer - 3.0 * x).square().mean()
        return error * float("nan") if self.step == self.spoiled_at else error


RECIPE = StageRecipe(steps=12, batch=4, learning_rate=0.1, warmup_steps=1)


def test_every_step_is_told_with_its_pace_and_what_is_left() -> None:
    heard: list[Moment] = []
    visits: list[int] = []
    Loop(Line(RECIPE), listener=heard.append, every=5, visit=visits.append).run()
    assert [moment.step for moment in heard] == list(range(1, 13))
    assert heard[-1].remaining_s == 0.0 < heard[0].remaining_s
    assert visits == [5, 10, 12]
    assert Moment(3, 1000, 0.5, 0.25, 4.0).text() == "step 3 of 1000, loss 0.2500, 4.00 s a step, 1 h 6 min left"


def test_cancelled_at_any_step_it_goes_on_from_there(tmp_path: Path) -> None:
    whole = Line(RECIPE)
    Loop(whole).run()
    for stop in (0, 1, 7):
        state = tmp_path / f"{stop}.pt"
        stage = Line(RECIPE)

        def check(stage: Line = stage, stop: int = stop) -> None:
            if stage.step == stop:
                raise Interrupted("the job was cancelled")

        with pytest.raises(Interrupted):
            Loop(stage, state, check=check).run()
        resumed = Line(RECIPE)
        Loop(resumed, state).run()
        assert all(torch.equal(weight, resumed.networks.state_dict()[name]) for name, weight in whole.networks.state_dict().items())


def test_a_loss_that_is_no_number_stops_with_the_last_sound_state(tmp_path: Path) -> None:
    stage = Line(RECIPE, spoiled_at=4)
    with pytest.raises(TrainingFailed, match=r"at step 5 of 12 the loss is nan; lower the learning rate \(now 0\.1\)"):
        Loop(stage, tmp_path / "state.pt", save_interval_s=0.0).run()
    sound = Line(RECIPE)
    sound.load(tmp_path / "state.pt")
    assert sound.step == 4
    assert all(bool(torch.isfinite(weight).all()) for weight in sound.networks.parameters())


@pytest.mark.parametrize("optimiser", installed_optimisers())
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_optimiser_and_precision_learns(optimiser: Optimiser, precision: str) -> None:
    recipe = StageRecipe(steps=150, batch=16, learning_rate=0.2, warmup_steps=1, optimiser=optimiser, schedule="constant")
    stage = Line(recipe, Compute(precision=precision))  # type: ignore[arg-type]
    losses = [stage.advance() for _ in range(150)]
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


def test_what_this_machine_lacks_is_refused_in_words() -> None:
    with pytest.raises(TrainingFailed, match="float16 trains on CUDA only"):
        Compute(precision="float16")
    if importlib.util.find_spec("bitsandbytes") is None:
        with pytest.raises(TrainingFailed, match="needs the package bitsandbytes"):
            Line(StageRecipe(steps=1, batch=1, learning_rate=0.1, optimiser="adamw8bit"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_it_learns_and_resumes_on_an_accelerator(precision: str, tmp_path: Path) -> None:
    compute = Compute(torch.device("cuda"), precision)  # type: ignore[arg-type]
    stage = Line(StageRecipe(steps=60, batch=16, learning_rate=0.2, warmup_steps=1), compute)
    Loop(stage, tmp_path / "state.pt").run()
    resumed = Line(StageRecipe(steps=60, batch=16, learning_rate=0.2, warmup_steps=1), compute)
    resumed.load(tmp_path / "state.pt")
    assert resumed.step == 60
    assert float(resumed.loss(resumed.draws())) < 1.0


def test_presets_follow_the_number_of_pictures_within_limits() -> None:
    assert PRESETS["character_fast"].steps(20, 2) == 150
    assert PRESETS["character_fast"].steps(1, 2) == 100
    assert PRESETS["lora200"].steps(100_000, 1) == 8000
    assert TrainingOptions(warmup_steps=500).stage(50, 2, 1e-3).warmup_steps == 10


def test_the_curve_falls_where_losses_fall() -> None:
    losses = [(step, 1.0 / step) for step in range(1, 101)]
    picture = curve_picture(losses)
    assert picture.shape == (1, 320, 640, 3)
    strong = (picture[0] - torch.tensor([38, 84, 160]) / 255.0).abs().sum(dim=-1) < 0.01
    heights = [int(strong[:, column].nonzero().float().mean()) for column in (80, 300, 560)]
    assert heights == sorted(heights)
    assert running_mean([(1, 2.0), (2, 4.0)]) == [(1, 2.0), (2, 3.0)]
    assert curve_picture([]).shape == (1, 320, 640, 3)
