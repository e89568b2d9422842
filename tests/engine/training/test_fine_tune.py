"""Whole UNets trained further: fine-tuned, for inpainting, and distilled to few steps; their files are ordinary checkpoints."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from marquetry.engine.context import Context
from marquetry.engine.models.adapters.read import read_adapter
from marquetry.engine.training.base_model import BaseModel
from marquetry.engine.training.buckets import Bucket
from marquetry.engine.training.checkpoint_file import write_checkpoint
from marquetry.engine.training.dataset import from_memory
from marquetry.engine.training.denoising import measured_loss
from marquetry.engine.training.distillation import DistillationRecipe, DistillationStage
from marquetry.engine.training.fine_tune import FineTuneRecipe, FineTuneStage
from marquetry.engine.training.inpainting import InpaintingStage, drawn_mask, shrunk, widened
from marquetry.engine.training.lessons import Lessons, lessons_of
from marquetry.engine.training.loop import Loop
from marquetry.engine.training.lora_file import tensors_of
from marquetry.engine.training.low_rank import LowRankSizes
from marquetry.engine.training.recipe import StageRecipe
from marquetry.engine.training.stage import Draws
from marquetry.nodes.latent import set_noise_mask
from marquetry.nodes.loaders import load_checkpoint
from marquetry.nodes.model_sampling import model_sampling_discrete
from marquetry.nodes.sampling import ksampler
from marquetry.nodes.text_encode import encode_text
from tests.engine.training.studio import SIDE, base_of, context_in, negatives

TUNING = FineTuneRecipe(StageRecipe(steps=20, batch=4, learning_rate=1e-3, warmup_steps=3, ema_decay=0.8))
DISTILLING = DistillationRecipe(
    StageRecipe(steps=30, batch=6, learning_rate=4e-3, warmup_steps=3, ema_decay=0.9), sizes=LowRankSizes(16, 16.0, 0.0, 16, 16.0)
)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return context_in(tmp_path_factory.mktemp("studio"))


@pytest.fixture(scope="module")
def base(context: Context) -> BaseModel:
    return base_of(context)


@pytest.fixture(scope="module")
def lessons(context: Context, base: BaseModel) -> Lessons:
    return lessons_of(base, negatives(context.folders.data), resolution=SIDE)


def test_a_fine_tuned_checkpoint_loads_and_has_learnt(context: Context, base: BaseModel, lessons: Lessons) -> None:
    stage = FineTuneStage(base, lessons, TUNING, seed=0)
    before = measured_loss(stage, lessons, batches=4)
    Loop(stage).run()
    write_checkpoint(context.folders.models / "checkpoints" / "tuned.safetensors", base, stage.trained(), {"modelspec.title": "tuned"})
    model, clip, vae = load_checkpoint("tuned.safetensors", context)
    tuned = FineTuneStage(BaseModel(model, clip, vae), lessons, TUNING, seed=0)
    assert measured_loss(tuned, lessons, batches=4) < 0.8 * before


def test_a_widened_unet_answers_as_before_whatever_the_mask(base: BaseModel) -> None:
    plain, wide = base.unet(), widened(base.unet())
    noisy, words = torch.randn(1, 4, 8, 8), torch.randn(1, 77, 64)
    with torch.no_grad():
        expected = plain(noisy, 100, words).sample
        torch.testing.assert_close(wide(torch.cat([noisy, torch.randn(1, 5, 8, 8)], dim=1), 100, words).sample, expected)


def test_an_inpainting_checkpoint_is_told_by_its_nine_channels_and_paints(context: Context, base: BaseModel, lessons: Lessons) -> None:
    stage = InpaintingStage(base, lessons, TUNING, seed=0)
    first = stage.advance()
    Loop(stage).run()
    assert first > 0.0
    with stage.average.applied(stage.networks):
        learnt = measured_loss(stage, lessons, batches=4)
    assert learnt < 0.8 * measured_loss(InpaintingStage(base, lessons, TUNING, seed=0), lessons, batches=4)
    write_checkpoint(context.folders.models / "checkpoints" / "inpainting.safetensors", base, stage.trained(), {})
    model, clip, vae = load_checkpoint("inpainting.safetensors", context)
    assert model.in_channels == 9
    latent = next(iter(lessons.latents.values()))[:1] / model.latent_format.scale_factor
    mask = torch.zeros(1, SIDE, SIDE)
    mask[:, 16:48, 16:48] = 1.0
    words = encode_text("negative, a red car", clip, context)
    made = ksampler(
        model=model, seed=0, steps=2, cfg=1.0, sampler_name="euler", scheduler="normal", positive=words, negative=words,
        latent_image=set_noise_mask({"samples": latent}, mask), context=context,
    )  # fmt: skip
    assert torch.isfinite(made["samples"]).all()
    assert vae is not None


def test_masks_hide_parts_and_cells_with_any_hidden_pixel_are_made_anew() -> None:
    shares = [float(drawn_mask(Bucket(64, 48), random.Random(seed)).mean()) for seed in range(40)]
    assert 0.2 < sum(shares) / len(shares) < 0.8
    assert 1.0 in shares
    mask = torch.zeros(16, 16)
    mask[0, 9] = 1.0
    assert shrunk(mask, 8)[0].tolist() == [[0.0, 1.0], [0.0, 0.0]]


def test_a_mask_of_the_dataset_is_used(base: BaseModel) -> None:
    picture, mask = torch.full((SIDE, SIDE, 3), 200, dtype=torch.uint8), torch.zeros(SIDE, SIDE, dtype=torch.uint8)
    mask[:32] = 255
    dataset = from_memory([picture], ["white"])
    masked = replace(dataset, examples=(replace(dataset.examples[0], mask=mask),))
    stage = InpaintingStage(base, lessons_of(base, masked, resolution=SIDE), TUNING, seed=0)
    beside = stage.masks.found[0, Bucket(8, 8)][0]
    assert beside[0].tolist() == [[1.0] * 8] * 4 + [[0.0] * 8] * 4


def measured(stage: DistillationStage) -> float:
    with torch.no_grad():
        return sum(stage.loss(Draws(torch.Generator().manual_seed(seed), random.Random(seed))).item() for seed in range(6))


def test_a_distilled_lora_is_more_consistent_and_samples_in_four_steps(context: Context, base: BaseModel, lessons: Lessons) -> None:
    stage = DistillationStage(base, lessons, DISTILLING, seed=0)
    before = measured(stage)
    Loop(stage).run()
    assert measured(stage) < 0.8 * before
    adapter = read_adapter(tensors_of(stage.changes()), content_hash="lcm")
    matched = base.model.match(adapter)
    assert adapter.unmatched(matched) == ()
    model = model_sampling_discrete(model=base.model.with_adapter(matched, 1.0), sampling="lcm", zsnr=False)
    words = encode_text("negative, a red car", base.clip, context)
    made = ksampler(
        model=model, seed=0, steps=4, cfg=1.0, sampler_name="lcm", scheduler="sgm_uniform", positive=words, negative=words,
        latent_image={"samples": torch.zeros(1, 4, 8, 8)}, context=context,
    )  # fmt: skip
    assert torch.isfinite(made["samples"]).all()


def test_a_whole_student_resumes_to_the_bit_and_is_written_as_a_checkpoint(
    context: Context, base: BaseModel, lessons: Lessons, tmp_path: Path
) -> None:
    recipe = replace(DISTILLING, student="whole", guidance=(2.0, 4.0), stage=replace(DISTILLING.stage, steps=3, batch=2))
    whole = DistillationStage(base, lessons, recipe, seed=0)
    Loop(whole).run()
    stopped = DistillationStage(base, lessons, recipe, seed=0)
    stopped.advance()
    stopped.save(tmp_path / "state.pt")
    resumed = DistillationStage(base, lessons, recipe, seed=0)
    Loop(resumed, tmp_path / "state.pt").run()
    assert all(torch.equal(weight, resumed.trained()[name]) for name, weight in whole.trained().items())
    write_checkpoint(context.folders.models / "checkpoints" / "lcm.safetensors", base, whole.trained(), {})
    assert load_checkpoint("lcm.safetensors", context).MODEL.in_channels == 4
