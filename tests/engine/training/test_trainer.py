"""Training is deterministic for a seed and resumes to the bit."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from marquetry.engine.training.autoencoder import AutoencoderStage, as_input, encode_all, normalise_latents
from marquetry.engine.training.diffusion import DiffusionStage
from marquetry.engine.training.networks import build_autoencoder
from marquetry.engine.training.recipe import Recipe
from marquetry.engine.training.stage import Stage
from marquetry.engine.training.trainer import Workshop, train
from tests.engine.training.tiny import RECIPE, SIZES, TinyExamples


def pictures() -> Tensor:
    return torch.from_numpy(TinyExamples().pictures())


def autoencoder_stage() -> Stage:
    torch.manual_seed(0)
    return AutoencoderStage(build_autoencoder(SIZES), pictures(), RECIPE.autoencoder, seed=5)


def diffusion_stage(recipe: Recipe = RECIPE) -> Stage:
    torch.manual_seed(0)
    latents = torch.randn(8, 4, 2, 2, generator=torch.Generator().manual_seed(1))
    return DiffusionStage(latents, TinyExamples(), recipe, seed=5)


def run(out: Path, folder: Path, *, resume: bool = False, seed: int = 0) -> bytes:
    workshop = Workshop(folder, resume, lambda text, share: None)
    train(TinyExamples(), RECIPE, out, workshop, seed, {"title": "tiny"})
    return out.read_bytes()


@pytest.mark.parametrize("make_stage", [autoencoder_stage, diffusion_stage])
def test_a_resumed_stage_equals_an_uninterrupted_one_to_the_bit(make_stage: Callable[[], Stage], tmp_path: Path) -> None:
    whole = make_stage()
    losses = [whole.advance() for _ in range(3)]
    stopped = make_stage()
    stopped.advance()
    stopped.save(tmp_path / "stage.pt")

    resumed = make_stage()
    resumed.load(tmp_path / "stage.pt")

    assert [resumed.advance(), resumed.advance()] == losses[1:]
    assert all(torch.equal(weight, resumed.networks.state_dict()[name]) for name, weight in whole.networks.state_dict().items())
    assert all(torch.equal(weight, resumed.average.weights[name]) for name, weight in whole.average.weights.items())


def test_a_stage_of_another_seed_is_refused(tmp_path: Path) -> None:
    stage = diffusion_stage()
    stage.save(tmp_path / "stage.pt")
    other = diffusion_stage()
    other.seed = 6

    with pytest.raises(ValueError, match="seed 5, not 6"):
        other.load(tmp_path / "stage.pt")


def test_the_same_seed_gives_the_same_file_and_another_seed_another(tmp_path: Path) -> None:
    first = run(tmp_path / "a.safetensors", tmp_path / "a")
    second = run(tmp_path / "b.safetensors", tmp_path / "b")
    other = run(tmp_path / "c.safetensors", tmp_path / "c", seed=1)

    assert first == second
    assert first != other


def test_a_finished_training_resumes_to_the_same_file(tmp_path: Path) -> None:
    first = run(tmp_path / "a.safetensors", tmp_path / "a")

    assert run(tmp_path / "a.safetensors", tmp_path / "a", resume=True) == first


def test_normalised_latents_have_unit_deviation_and_decode_as_before() -> None:
    torch.manual_seed(0)
    autoencoder = build_autoencoder(SIZES).requires_grad_(False)
    truth = pictures()
    before = autoencoder.decode(autoencoder.encode(as_input(truth)).latent_dist.mean).sample

    normalise_latents(autoencoder, truth)

    latents = encode_all(autoencoder, truth)
    after = autoencoder.decode(autoencoder.encode(as_input(truth)).latent_dist.mean).sample
    torch.testing.assert_close(latents.std(dim=(0, 2, 3)), torch.ones(4))
    torch.testing.assert_close(latents.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-3)


def test_words_that_were_never_taught_stay_at_zero() -> None:
    stage = diffusion_stage()
    stage.advance()
    stage.advance()

    assert isinstance(stage, DiffusionStage)
    assert stage.text_encoder.get_input_embeddings().weight[0].abs().sum() == 0.0
