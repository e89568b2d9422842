"""Vae: whole and in tiles, cropped, in slices, and out of memory."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from marquetry.engine.errors import OutOfMemory
from marquetry.engine.folders import Folders
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.models.tiling import map_tiles, tiles
from marquetry.engine.models.vae import Vae
from tests.checkpoints import networks, write_parts


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    folders = Folders(tmp_path_factory.mktemp("data"))
    folders.add_model_folder("vae", write_parts(folders.data / "parts")["vae"].parent)
    return ModelLibrary(folders, device="cpu", budget_bytes=2**30)


@pytest.fixture
def vae(library: ModelLibrary) -> Vae:
    return library.load_vae("sd1-vae-original-prefixed.safetensors")


def test_ratio_and_channels_are_the_networks(vae: Vae) -> None:
    assert (vae.downscale_ratio, vae.latent_channels) == (8, 4)


def test_sides_are_cropped_around_the_middle(vae: Vae) -> None:
    pixels = torch.rand(1, 37, 45, 3)

    assert torch.equal(vae.crop(pixels), pixels[:, 2:34, 2:42])
    assert torch.equal(vae.encode(pixels), vae.encode(pixels[:, 2:34, 2:42]))


def test_transparency_is_left_out_and_grey_becomes_three_channels(vae: Vae) -> None:
    pixels = torch.rand(1, 32, 32, 4)

    assert torch.equal(vae.encode(pixels), vae.encode(pixels[..., :3]))
    assert torch.equal(vae.encode(pixels[..., :1]), vae.encode(pixels[..., :1].expand(-1, -1, -1, 3)))


def test_decoded_pictures_lie_in_0_to_1(vae: Vae) -> None:
    pictures = vae.decode(torch.randn(1, 4, 4, 6) * 20)

    assert pictures.shape == (1, 32, 48, 3)
    assert (float(pictures.min()), float(pictures.max())) == (0.0, 1.0)


def test_slices_of_a_batch_equal_the_whole(vae: Vae) -> None:
    latent = torch.randn(5, 4, 4, 4)
    narrow = vae.clone()
    object.__setattr__(narrow, "workspace_bytes", 1)

    assert (narrow.slice_size(1024), vae.slice_size(1024)) == (1, vae.slice_size(1024))
    assert torch.allclose(narrow.decode(latent), vae.decode(latent), atol=1e-5)


def test_tile_as_large_as_the_picture_equals_the_whole(vae: Vae) -> None:
    latent, pixels = torch.randn(2, 4, 8, 8), torch.rand(2, 64, 64, 3)

    assert torch.allclose(vae.decode_tiled(latent, tile_x=8, tile_y=8, overlap=2), vae.decode(latent), atol=1e-5)
    assert torch.allclose(vae.encode_tiled(pixels, tile_x=64, tile_y=64, overlap=8), vae.encode(pixels), atol=1e-5)


def test_tiles_have_the_shape_of_the_whole_and_report_progress(vae: Vae) -> None:
    steps: list[tuple[int, int]] = []

    pictures = vae.decode_tiled(
        torch.randn(1, 4, 13, 9), tile_x=6, tile_y=6, overlap=2, progress=lambda done, total: steps.append((done, total))
    )

    assert pictures.shape == (1, 104, 72, 3)
    assert steps == [(number, 6) for number in range(1, 7)]
    assert vae.encode_tiled(torch.rand(1, 104, 72, 3), tile_x=64, tile_y=64, overlap=16).shape == (1, 4, 13, 9)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 20), st.integers(1, 20), st.integers(0, 30))
def test_tiles_cover_everything_and_their_average_changes_nothing(height: int, width: int, rows: int, columns: int, overlap: int) -> None:
    x = torch.rand(1, 2, height, width)

    made = map_tiles(lambda tile: tile.repeat_interleave(2, 2).repeat_interleave(2, 3), x, tile_height=rows, tile_width=columns, overlap=overlap, scale=(2, 1))  # fmt: skip

    assert torch.allclose(made, x.repeat_interleave(2, 2).repeat_interleave(2, 3), atol=1e-6)
    assert all(tile.height <= rows and tile.width <= columns for tile in tiles(height, width, tile_height=rows, tile_width=columns, overlap=overlap))  # fmt: skip


def test_seam_between_tiles_fades(vae: Vae) -> None:
    x = torch.zeros(1, 1, 4, 12)
    calls: list[int] = []

    def numbered(tile: Tensor) -> Tensor:
        calls.append(1)
        return torch.full_like(tile, float(len(calls)))

    row = map_tiles(numbered, x, tile_height=4, tile_width=8, overlap=4, scale=(1, 1))[0, 0, 0]

    assert row[:4].eq(1).all() and row[8:].eq(2).all()
    assert bool((row[4:8].diff() > 0).all())


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError()]
)
def test_out_of_memory_continues_in_tiles_and_says_so(vae: Vae, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    expected = vae.decode(torch.ones(1, 4, 4, 4))
    notices: list[str] = []
    relieved: list[bool] = []
    object.__setattr__(vae, "relieve", lambda: relieved.append(True))

    def fail(self: Vae, *_: Any) -> Tensor:
        raise error

    monkeypatch.setattr(Vae, "_sliced", fail)

    assert torch.allclose(vae.decode(torch.ones(1, 4, 4, 4), notices.append), expected, atol=1e-5)
    assert len(notices) == 1 and "tiles" in notices[0]
    assert relieved == [True]


def test_other_errors_are_not_taken_for_a_lack_of_memory(vae: Vae) -> None:
    with pytest.raises(RuntimeError, match="channels"):
        vae.decode(torch.ones(1, 7, 4, 4))


def test_autoencoder_that_does_not_fit_the_budget_is_refused(library: ModelLibrary) -> None:
    small = ModelLibrary(library.folders, device="cpu", budget_bytes=1000)

    with pytest.raises(OutOfMemory, match=r"sd1-vae-original-prefixed\.safetensors \(vae\) needs"):
        small.load_vae("sd1-vae-original-prefixed.safetensors").decode(torch.ones(1, 4, 4, 4))


def test_weights_in_memory_are_the_mapped_file(library: ModelLibrary, vae: Vae) -> None:
    path = library.store.path("vae", "sd1-vae-original-prefixed.safetensors")
    mapped = [line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines() if str(path) in line]

    with vae.resident.use() as network:
        pointer = network.encoder.conv_in.weight.data_ptr()
        mapped = [line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines() if str(path) in line]

    assert any(int(start, 16) <= pointer < int(end, 16) for start, end in mapped)
    assert networks("sd1").vae is not network
