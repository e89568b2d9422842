"""Model: what it feeds its network beside the latent."""

from pathlib import Path

import pytest
import torch

from marquetry.engine.folders import Folders
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.sampling.model import CONCAT, CONTEXT
from tests.checkpoints import FamilyName, networks, write_checkpoint

LATENT = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
SIGMA = torch.tensor([7.0, 0.4])


@pytest.fixture
def library(tmp_path: Path) -> ModelLibrary:
    folders = Folders(tmp_path)
    folders.create()
    return ModelLibrary(folders, device="cpu", budget_bytes=2**30)


@pytest.mark.parametrize("name", ["sd1", "sd2"])
def test_inpainting_model_is_fed_mask_and_masked_picture(library: ModelLibrary, name: FamilyName) -> None:
    made = networks(name, in_channels=9)
    write_checkpoint(library.folders.models / "checkpoints/a.safetensors", made)
    model = library.load_checkpoint("a.safetensors").model
    picture, mask = torch.randn(1, 4, 8, 8), (torch.rand(1, 1, 64, 64) > 0.5).float()
    encoded = torch.randn(1, 77, model.config["cross_attention_dim"])

    extras = {"concat_latent_image": picture, "concat_mask": mask}
    values = model.conditioning(encoded, extras, batch=2, latent_shape=(2, 4, 8, 8))

    assert values[CONTEXT].shape[0] == 2
    assert values[CONCAT].shape == (2, 5, 8, 8)
    assert set(values[CONCAT][:, 0].unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(values[CONCAT][1, 1:], picture[0] * 0.18215)
    assert model.denoise(LATENT, SIGMA, values).shape == LATENT.shape


def test_inpainting_model_without_a_mask_sees_grey_everywhere(library: ModelLibrary) -> None:
    write_checkpoint(library.folders.models / "checkpoints/a.safetensors", networks(in_channels=9))
    model = library.load_checkpoint("a.safetensors").model

    extras = {"latent_image": torch.zeros(2, 4, 8, 8), "denoise_mask": None}
    concat = model.conditioning(torch.randn(1, 77, 64), extras, batch=2, latent_shape=(2, 4, 8, 8))[CONCAT]

    assert bool((concat[:, 0] == 1).all())
    assert concat[0, 1:, 3, 3].tolist() == pytest.approx([0.8223, -0.6876, 0.6364, 0.1380])


def test_editing_model_is_fed_the_picture_as_its_autoencoder_gives_it(library: ModelLibrary) -> None:
    write_checkpoint(library.folders.models / "checkpoints/a.safetensors", networks(in_channels=8))
    model = library.load_checkpoint("a.safetensors").model
    picture = torch.randn(1, 4, 8, 8)

    given = model.conditioning(torch.randn(1, 77, 64), {"concat_latent_image": picture}, batch=2, latent_shape=(2, 4, 8, 8))
    without = model.conditioning(torch.randn(1, 77, 64), {}, batch=2, latent_shape=(2, 4, 8, 8))

    assert torch.equal(given[CONCAT], picture.expand(2, -1, -1, -1))
    assert bool((without[CONCAT] == 0).all())
    assert model.denoise(LATENT, SIGMA, given).shape == LATENT.shape


def test_prompts_are_repeated_to_the_batch(library: ModelLibrary) -> None:
    write_checkpoint(library.folders.models / "checkpoints/a.safetensors")
    model = library.load_checkpoint("a.safetensors").model
    embedding = torch.randn(2, 77, 64)

    tokens = model.conditioning(embedding, {}, batch=5, latent_shape=(5, 4, 8, 8))[CONTEXT]

    assert torch.equal(tokens, torch.cat([embedding, embedding, embedding[:1]]))
