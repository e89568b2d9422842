"""Image encoder and IP-Adapter: in their published layouts, read by transformers and diffusers, and steering towards what is shown."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from marquetry.engine.training.base_model import BaseModel
from marquetry.engine.training.dataset import Dataset, as_bytes, from_memory
from marquetry.engine.training.denoising import measured_loss
from marquetry.engine.training.image_encoder import EncoderRecipe, EncoderStage, as_seen, embeddings, read_encoder, write_encoder
from marquetry.engine.training.ip_adapter import IPAdapterRecipe, IPAdapterStage, write_ip_adapter
from marquetry.engine.training.lessons import Lessons, lessons_of
from marquetry.engine.training.loop import Loop
from marquetry.engine.training.networks import Network
from marquetry.engine.training.recipe import StageRecipe
from marquetry.engine.training.stage import Draws
from tests.engine.training.studio import SIDE, WORDS, base_of, context_in, painted

ENCODER = EncoderRecipe(
    StageRecipe(steps=30, batch=24, learning_rate=2e-3, warmup_steps=5, ema_decay=0.8), width=64, layers=2, projection=48
)
ADAPTER = IPAdapterRecipe(StageRecipe(steps=25, batch=6, learning_rate=3e-3, warmup_steps=3, ema_decay=0.8), picture_dropout=0.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="module")
def base(data: Path) -> BaseModel:
    return base_of(context_in(data))


@pytest.fixture(scope="module")
def dataset(data: Path) -> Dataset:
    return from_memory([as_bytes(picture) for picture in painted(data)], list(WORDS))


@pytest.fixture(scope="module")
def taught(base: BaseModel, dataset: Dataset) -> EncoderStage:
    stage = EncoderStage(base, dataset, ENCODER, seed=0)
    Loop(stage).run()
    return stage


@pytest.fixture(scope="module")
def encoder(taught: EncoderStage, tmp_path_factory: pytest.TempPathFactory) -> Network:
    path = tmp_path_factory.mktemp("encoder") / "eyes.safetensors"
    write_encoder(path, taught.trained(), ENCODER, "eyes")
    return read_encoder(path)


@pytest.fixture(scope="module")
def lessons(base: BaseModel, dataset: Dataset) -> Lessons:
    return lessons_of(base, dataset, resolution=SIDE, caption_dropout=1.0)


def test_pictures_and_their_words_come_to_lie_together(base: BaseModel, dataset: Dataset, taught: EncoderStage) -> None:
    fresh = EncoderStage(base, dataset, ENCODER, seed=0)
    with torch.no_grad():
        before, after = (float(s.loss(Draws(torch.Generator().manual_seed(0), random.Random(0)))) for s in (fresh, taught))
    assert after < 0.75 * before


def test_transformers_reads_the_encoder_with_nothing_left_over(
    taught: EncoderStage, encoder: Network, dataset: Dataset, tmp_path: Path
) -> None:
    write_encoder(tmp_path / "eyes.safetensors", taught.trained(), ENCODER, "eyes")
    state = load_file(tmp_path / "eyes.safetensors")
    assert {"vision_model.embeddings.class_embedding", "visual_projection.weight"} <= set(state)
    model: Any = CLIPVisionModelWithProjection
    theirs = model(CLIPVisionConfig(**ENCODER.config())).eval()
    missing, unexpected = theirs.load_state_dict({name: tensor.float() for name, tensor in state.items()}, strict=False)
    assert (unexpected, [name for name in missing if "position_ids" not in name]) == ([], [])
    pictures = [example.picture for example in dataset.examples[:2]]
    with torch.no_grad():
        torch.testing.assert_close(embeddings(encoder, pictures), theirs(as_seen(pictures, 64)).image_embeds)


def test_a_picture_that_is_shown_lowers_the_loss_more_than_another(base: BaseModel, encoder: Network, lessons: Lessons) -> None:
    stage = IPAdapterStage(base, encoder, lessons, ADAPTER, seed=0)
    before = measured_loss(stage, lessons, batches=4)
    Loop(stage).run()
    with stage.average.applied(stage.networks):
        shown = measured_loss(stage, lessons, batches=4)
        stage.shown = stage.shown.roll(7, dims=0)
        another = measured_loss(stage, lessons, batches=4)
    assert shown < 0.9 * before
    assert shown < another


def test_diffusers_reads_the_adapter_and_answers_the_same(base: BaseModel, encoder: Network, lessons: Lessons, tmp_path: Path) -> None:
    stage = IPAdapterStage(base, encoder, lessons, ADAPTER, seed=0)
    for parameter in stage.networks.parameters():
        parameter.data = (parameter.data + 0.05 * torch.randn_like(parameter)).half().float()
    stage.average.weights = {name: weight.detach().clone() for name, weight in stage.networks.named_parameters()}
    write_ip_adapter(tmp_path / "adapter.safetensors", stage.trained(), {})
    state = load_file(tmp_path / "adapter.safetensors")
    assert {"image_proj.proj.weight", "image_proj.norm.bias", "ip_adapter.1.to_k_ip.weight", "ip_adapter.3.to_v_ip.weight"} <= set(state)
    split: dict[str, dict[str, torch.Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for name, tensor in state.items():
        part, _, rest = name.partition(".")
        split[part][rest] = tensor.float()
    theirs: Any = base.unet()
    theirs._load_ip_adapter_weights([split], low_cpu_mem_usage=False)
    batch = lessons.draw(2, stage.draws())
    noised, shown = stage.noised(batch, stage.draws()), stage.shown[:2]
    with torch.no_grad():
        answer = theirs(noised.noisy, noised.timesteps, noised.context, added_cond_kwargs={"image_embeds": [shown[:, None]]}).sample
        torch.testing.assert_close(stage.steered(noised, shown), answer, atol=1e-5, rtol=1e-4)


def test_a_picture_left_out_is_drawn_from_the_step(base: BaseModel, encoder: Network, lessons: Lessons) -> None:
    recipe = replace(ADAPTER, picture_dropout=0.5)
    one, other = (IPAdapterStage(base, encoder, lessons, recipe, seed=0) for _ in range(2))
    torch.rand(3)
    assert one.advance() == other.advance()
