"""Pictures to latents and back, as ComfyUI's nodes do."""

from pathlib import Path
from typing import Any

import pytest
import torch

from marquetry.engine.context import Context, Services
from marquetry.engine.declare import node_type
from marquetry.engine.errors import NodeFailed
from marquetry.engine.folders import Folders
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.registry import describe
from marquetry.nodes import vae as nodes
from tests.checkpoints import write_checkpoint


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    folders = Folders(tmp_path_factory.mktemp("data"))
    folders.create()
    write_checkpoint(folders.models / "checkpoints/a.safetensors")
    return Context(Services(folders, ModelLibrary(folders, device="cpu", budget_bytes=2**30)))


@pytest.fixture(scope="module")
def vae(context: Context) -> Any:
    return context.models.load_checkpoint("a.safetensors").vae


@pytest.mark.parametrize(
    ("function", "id", "names"),
    [
        (nodes.decode, "VAEDecode", ["samples", "vae"]),
        (nodes.encode, "VAEEncode", ["pixels", "vae"]),
        (nodes.decode_tiled, "VAEDecodeTiled", ["samples", "vae", "tile_size", "overlap", "temporal_size", "temporal_overlap"]),
        (nodes.encode_tiled, "VAEEncodeTiled", ["pixels", "vae", "tile_size", "overlap", "temporal_size", "temporal_overlap"]),
        (nodes.encode_for_inpaint, "VAEEncodeForInpaint", ["pixels", "vae", "mask", "grow_mask_by"]),
    ],
)
def test_shape_is_comfyuis(function: Any, id: str, names: list[str]) -> None:
    described = describe(node_type(function), Folders(Path("/nowhere")))

    assert (described["name"], list(described["input"]["required"])) == (id, names)


def test_encoding_and_decoding_go_through_the_autoencoder(context: Context, vae: Any) -> None:
    pixels = torch.rand(2, 50, 41, 3)

    latent = nodes.encode(pixels, vae, context)
    pictures = nodes.decode(latent, vae, context)

    assert torch.equal(latent["samples"], vae.encode(pixels))
    assert pictures.shape == (2, 48, 40, 3)


def test_latents_of_frames_become_a_batch(context: Context, vae: Any) -> None:
    latent = torch.randn(1, 4, 3, 4, 4)

    frames = nodes.decode({"samples": latent}, vae, context)

    assert torch.allclose(frames, vae.decode(latent[0].movedim(1, 0)))


def test_one_tile_equals_the_whole(context: Context, vae: Any) -> None:
    pixels = torch.rand(1, 64, 64, 3)
    latent = nodes.encode_tiled(pixels, vae, context=context)

    assert torch.allclose(latent["samples"], vae.encode(pixels), atol=1e-5)
    assert torch.allclose(nodes.decode_tiled(latent, vae, context=context), vae.decode(latent["samples"]), atol=1e-5)


def test_small_tiles_keep_the_size_though_the_overlap_is_too_large(context: Context, vae: Any) -> None:
    latent = nodes.encode_tiled(torch.rand(1, 136, 96, 3), vae, tile_size=64, overlap=512, context=context)

    assert latent["samples"].shape == (1, 4, 17, 12)
    assert nodes.decode_tiled(latent, vae, tile_size=64, overlap=512, context=context).shape == (1, 136, 96, 3)


def test_masked_pixels_are_grey_and_the_mask_grows(context: Context, vae: Any) -> None:
    pixels, mask = torch.rand(1, 32, 32, 3), torch.zeros(1, 32, 32)
    mask[:, 8:16, 8:16] = 1.0
    grey = pixels.clone()
    grey[:, 8:16, 8:16] = 0.5

    latent = nodes.encode_for_inpaint(pixels, vae, mask, grow_mask_by=6, context=context)

    assert torch.allclose(latent["samples"], vae.encode(grey), atol=1e-5)
    assert latent["noise_mask"].shape == (1, 1, 32, 32)
    expected = torch.zeros(32, 32)
    expected[8 - 3 : 16 + 2, 8 - 3 : 16 + 2] = 1.0  # an even square reaches further to one side
    reached = latent["noise_mask"][0, 0]
    assert reached.sum() == expected.sum()
    assert bool((reached[8:16, 8:16] == 1).all())


def test_mask_that_does_not_grow_stays_and_is_resized(context: Context, vae: Any) -> None:
    mask = torch.zeros(1, 16, 16)
    mask[:, 4:12, 4:12] = 1.0

    latent = nodes.encode_for_inpaint(torch.rand(1, 36, 36, 3), vae, mask, grow_mask_by=0, context=context)

    assert latent["noise_mask"].shape == (1, 1, 32, 32)
    assert set(latent["noise_mask"].unique().tolist()) == {0.0, 1.0}


def test_missing_autoencoder_says_what_to_do(context: Context) -> None:
    with pytest.raises(NodeFailed, match="VAELoader"):
        nodes.decode({"samples": torch.zeros(1, 4, 2, 2)}, None, context)
