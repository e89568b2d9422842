"""Recipes of any size: what they leave as it was, and the 128x128 model that the ordinary loader reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from marquetry.engine.context import Context, Services
from marquetry.engine.folders import Folders
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.training.autoencoder import AutoencoderStage
from marquetry.engine.training.learning_rate import learning_rate
from marquetry.engine.training.networks import build_autoencoder
from marquetry.engine.training.noise import add_noise, clean, draw_noise, min_snr_weights, signal_shares, target
from marquetry.engine.training.recipe import WORLD_128, NetworkSizes, Prediction, StageRecipe
from marquetry.engine.training.single_file import build_model, read_model, write_model
from marquetry.nodes.latent import empty
from marquetry.nodes.loaders import load_checkpoint
from marquetry.nodes.sampling import ksampler
from marquetry.nodes.text_encode import encode_text
from marquetry.nodes.vae import decode
from tests.engine.training.test_trainer import autoencoder_stage, diffusion_stage, pictures
from tests.engine.training.tiny import RECIPE, SIZES

FIRST_STEPS = {  # two losses of the first recipe's stages, and the sum of all weights after them, as they were before recipes grew
    "autoencoder": ((0.45623618364334106, 0.3811892867088318), 12569.149668601725),
    "diffusion": ((1.2045907974243164, 0.9652001857757568), 27536.65253575836),
}


@pytest.mark.parametrize("name", FIRST_STEPS)
def test_the_first_recipe_still_gives_the_weights_that_it_gave(name: str) -> None:
    stage = autoencoder_stage() if name == "autoencoder" else diffusion_stage()
    losses, total = FIRST_STEPS[name]
    assert (stage.advance(), stage.advance()) == pytest.approx(losses, rel=1e-3)
    assert sum(float(weight.detach().double().abs().sum()) for weight in stage.networks.parameters()) == pytest.approx(total, rel=1e-5)


def test_sizes_of_old_files_are_read_and_written_as_before() -> None:
    written = SIZES.as_json()
    assert set(written) == {
        "resolution", "autoencoder_channels", "autoencoder_layers", "unet_channels", "unet_layers", "text_width", "text_layers"
    }  # fmt: skip
    grown = replace(SIZES, unet_attention=(False, True), unet_inputs=9)
    assert NetworkSizes.from_json(grown.as_json()) == grown
    assert NetworkSizes.from_json(written) == SIZES


GROWN = [
    NetworkSizes(32, (32, 64, 96, 96), 1, (96, 192, 192), 2, 128, 3),
    NetworkSizes(32, (32, 32, 32), 2, (32, 64), 1, 64, 1, (False, True)),
]


@pytest.mark.parametrize("sizes", GROWN, ids=["wide", "attention below"])
def test_larger_models_are_single_files_that_the_ordinary_loader_reads_to_the_bit(sizes: NetworkSizes, tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = build_model(sizes)
    for network in (made.unet, made.autoencoder, made.text_encoder):
        network.half().float()
    folders = Folders(tmp_path)
    folders.create()
    path = folders.models / "checkpoints" / "grown.safetensors"
    write_model(path, sizes, made.states(), {})
    context = Context(Services(folders, ModelLibrary(folders, device="cpu")))
    model, clip, vae = load_checkpoint("grown.safetensors", context)

    noisy, context_tokens = torch.randn(2, 4, 8, 8), torch.randn(2, 77, sizes.text_width)
    with model.resident.use() as unet, torch.no_grad():
        assert torch.equal(unet(noisy, 500, context_tokens).sample, made.unet(noisy, 500, context_tokens).sample)
    side = 8 * vae.downscale_ratio
    words = encode_text("a red square", clip, context)
    latent = ksampler(
        model=model, seed=0, steps=2, cfg=2.0, sampler_name="euler", scheduler="normal", positive=words, negative=words,
        latent_image={"samples": torch.zeros(1, 4, 8, 8)}, context=context,
    )  # fmt: skip
    assert decode(latent, vae, context).shape == (1, side, side, 3)
    assert empty(side, side, 1)["samples"].shape[1] == 4
    assert read_model(path).sizes == sizes


def test_crops_are_learnt_from_first_and_whole_pictures_last() -> None:
    recipe = StageRecipe(steps=10, batch=2, learning_rate=1e-3)
    stage = AutoencoderStage(build_autoencoder(SIZES), pictures(), recipe, seed=1, crop=8)
    assert stage._cropped(pictures()[:2], stage.draws()).shape == (2, 8, 8, 3)
    stage.step = 9
    assert stage._cropped(pictures()[:2], stage.draws()).shape == (2, 16, 16, 3)


def test_accumulated_parts_draw_apart_and_add_up_to_one_step() -> None:
    stage = diffusion_stage()
    assert stage.draws(0).tensors.initial_seed() != stage.draws(1).tensors.initial_seed()
    stage.recipe = replace(stage.recipe, accumulation=3)
    parts = [stage.loss(stage.draws(part)).item() for part in range(3)]
    assert stage.advance() == pytest.approx(sum(parts) / 3, rel=1e-5)
    assert stage.step == 1


@pytest.mark.parametrize(("schedule", "middle", "end"), [("constant", 1.0, 1.0), ("linear", 0.51, 0.02), ("cosine", 0.51, 0.02)])
def test_the_rate_warms_up_and_then_follows_its_schedule(schedule: str, middle: float, end: float) -> None:
    recipe = StageRecipe(steps=100, batch=1, learning_rate=2.0, warmup_steps=10, schedule=schedule)  # type: ignore[arg-type]
    assert learning_rate(recipe, 0, 100) == pytest.approx(0.2, rel=0.01)
    assert learning_rate(recipe, 50, 100) == pytest.approx(2.0 * middle)
    assert learning_rate(recipe, 100, 100) == pytest.approx(2.0 * end)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_what_the_network_is_to_say_leads_back_to_the_clean_latent(prediction: Prediction) -> None:
    latents, noise = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2)
    share = signal_shares()[torch.tensor([10, 400, 900])]
    said = target(prediction, latents, noise, share)
    torch.testing.assert_close(clean(prediction, add_noise(latents, noise, share), said, share), latents, atol=1e-4, rtol=1e-4)


def test_weights_of_both_predictions_agree_on_the_clean_latent() -> None:
    share = signal_shares()
    ratio = share / (1.0 - share)
    epsilon, velocity = min_snr_weights(share, 5.0), min_snr_weights(share, 5.0, "v_prediction")
    torch.testing.assert_close(epsilon * ratio, velocity * (ratio + 1.0))
    assert torch.equal(min_snr_weights(share, 0.0), torch.ones(1000))


def test_offset_noise_shifts_whole_channels() -> None:
    plain = draw_noise((64, 4, 8, 8), torch.Generator().manual_seed(0))
    shifted = draw_noise((64, 4, 8, 8), torch.Generator().manual_seed(0), offset=0.5)
    assert float(plain.mean(dim=(2, 3)).std()) == pytest.approx(1 / 8, rel=0.2)
    assert float((shifted - plain).mean(dim=(2, 3)).std()) == pytest.approx(0.5, rel=0.2)
    assert float((shifted - plain).std(dim=(2, 3)).max()) < 1e-5


def test_a_velocity_model_learns_too() -> None:
    stage = diffusion_stage(replace(RECIPE, prediction="v_prediction", noise_offset=0.05))
    assert stage.advance() > 0.0


def test_the_recipe_for_128_builds_networks_of_the_kind_that_the_family_reads() -> None:
    assert all(width % 32 == 0 for width in (*WORLD_128.networks.autoencoder_channels, *WORLD_128.networks.unet_channels))
    assert WORLD_128.networks.text_width % 64 == 0
