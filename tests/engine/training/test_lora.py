"""A LoRA that is trained here is read by the ordinary loader, and does what it was trained for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from marquetry.engine.context import Context
from marquetry.engine.models.adapters.read import read_adapter
from marquetry.engine.training.base_model import BaseModel
from marquetry.engine.training.dataset import Dataset
from marquetry.engine.training.denoising import measured_loss
from marquetry.engine.training.lessons import Lessons, lessons_of
from marquetry.engine.training.loop import Loop
from marquetry.engine.training.lora import LoraRecipe, LoraStage
from marquetry.engine.training.lora_file import lora_metadata, tensors_of, write_lora
from marquetry.engine.training.low_rank import LowRankSizes
from marquetry.engine.training.recipe import StageRecipe
from marquetry.nodes.lora import load_lora
from tests import checkpoints
from tests.engine.training.studio import SIDE, base_of, context_in, negatives

QUICK = StageRecipe(steps=40, batch=6, learning_rate=7e-3, warmup_steps=5, ema_decay=0.9)
STYLE = LoraRecipe(QUICK, LowRankSizes(rank=8, alpha=8.0))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="module")
def context(data: Path) -> Context:
    return context_in(data)


@pytest.fixture(scope="module")
def base(context: Context) -> BaseModel:
    return base_of(context)


@pytest.fixture(scope="module")
def style(data: Path) -> Dataset:
    return negatives(data)


@pytest.fixture(scope="module")
def lessons(base: BaseModel, style: Dataset) -> Lessons:
    return lessons_of(base, style, resolution=SIDE)


def written(stage: LoraStage, base: BaseModel, style: Dataset, path: Path) -> Path:
    said = lora_metadata(base, style, STYLE, name="negative", resolution=SIDE, seed=stage.seed, steps=stage.step)
    write_lora(path, tensors_of(stage.changes()), said)
    return path


def test_a_style_is_learnt_in_a_few_dozen_steps(context: Context, base: BaseModel, style: Dataset, lessons: Lessons) -> None:
    kept_back = lessons_of(base, style, resolution=SIDE, caption_dropout=0.0, held_out=True)
    stage = LoraStage(base, lessons, STYLE, seed=0)
    before = measured_loss(stage, kept_back)
    Loop(stage).run()
    with stage.average.applied(stage.networks):
        after = measured_loss(stage, kept_back)
    assert after < 0.6 * before
    with stage.silenced():
        assert measured_loss(stage, kept_back) == pytest.approx(before, rel=1e-5)

    path = written(stage, base, style, context.folders.model_folders("loras")[0] / "negative.safetensors")
    model, clip = load_lora(base.model, base.clip, path.name, context=context)
    latents, share = kept_back.latents[min(kept_back.latents)][:2], base.signal_shares()[300]
    sigma = ((1 - share) / share).sqrt()
    noisy = latents + sigma * torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    words = kept_back.texts.encode("negative, a red car on the beach")
    asked = base.model.conditioning(words, {}, batch=2, latent_shape=tuple(latents.shape))
    plain, changed = (m.denoise(noisy, sigma.repeat(2), asked) for m in (base.model, model))
    assert (changed - latents).square().mean() < 0.8 * (plain - latents).square().mean()
    assert clip.first.adapters == ()


def test_the_file_says_what_kohyas_files_say(base: BaseModel, style: Dataset, lessons: Lessons, tmp_path: Path) -> None:
    stage = LoraStage(base, lessons, replace(STYLE, text_rate=0.5, targets="attention and convolutions"), seed=0)
    stage.advance()
    path = written(stage, base, style, tmp_path / "negative.safetensors")
    with safe_open(path, framework="pt") as file:
        names, said = set(file.keys()), file.metadata()
    assert "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight" in names
    assert "lora_unet_mid_block_resnets_0_conv1.lora_up.weight" in names
    assert "lora_te_text_model_encoder_layers_0_self_attn_q_proj.alpha" in names
    assert (said["ss_network_module"], said["ss_base_model_version"], said["ss_network_dim"]) == ("networks.lora", "sd_v1", "8")
    assert said["modelspec.trigger_phrase"] == "negative"
    assert json.loads(said["ss_tag_frequency"])["negative"]["negative"] == len(style)
    assert len(said["sshs_model_hash"]) == 64


@pytest.mark.parametrize("family", ["sd1", "sd2"])
def test_every_tensor_finds_its_place_in_the_families(family: checkpoints.FamilyName, tmp_path: Path) -> None:
    context = context_in(tmp_path)
    checkpoints.write_checkpoint(context.folders.models / "checkpoints" / "tiny.safetensors", checkpoints.networks(family))
    model, clip, vae = context.models.load_checkpoint("tiny.safetensors")
    assert clip is not None and vae is not None
    base = BaseModel(model, clip, vae)
    pictures = torch.randint(0, 255, (2, 32, 32, 3), dtype=torch.uint8)
    from marquetry.engine.training.dataset import from_memory

    lessons = lessons_of(base, from_memory(list(pictures), ["a (house)", "a tree"]), resolution=32)
    recipe = LoraRecipe(
        StageRecipe(steps=2, batch=2, learning_rate=1e-2, checkpointing=True, accumulation=2),
        text_rate=1.0,
        targets="attention and convolutions",
    )
    stage = LoraStage(base, lessons, recipe, seed=0)
    Loop(stage).run()
    adapter = read_adapter(tensors_of(stage.changes()), content_hash="x")
    on_model, on_clip = model.match(adapter), clip.match(adapter)
    assert adapter.unmatched(on_model, *on_clip.by_role.values()) == ()
    changed = clip.with_adapter(on_clip, 1.0).encode("a house").embedding
    assert not torch.equal(changed, clip.encode("a house").embedding)


def test_a_resumed_training_writes_the_same_file(base: BaseModel, style: Dataset, lessons: Lessons, tmp_path: Path) -> None:
    recipe = replace(STYLE, stage=replace(QUICK, steps=4), sizes=LowRankSizes(rank=4, alpha=4.0, dropout=0.1))

    def run(name: str, stop_after: int | None) -> bytes:
        from marquetry.engine.errors import Interrupted

        seen = 0

        def check() -> None:
            nonlocal seen
            seen += 1
            if stop_after is not None and seen > stop_after:
                raise Interrupted("the job was cancelled")

        stage = LoraStage(base, lessons, recipe, seed=3)
        try:
            Loop(stage, tmp_path / f"{name}.pt", check=check).run()
        except Interrupted:
            assert stage.step == stop_after
            return run(name, None)
        return written(stage, base, style, tmp_path / f"{name}.safetensors").read_bytes()

    assert run("whole", None) == run("stopped", 2)
