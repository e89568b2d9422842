"""Nodes on latents."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from marquetry.engine.context import Context, Services
from marquetry.engine.declare import node_type
from marquetry.engine.errors import NodeFailed
from marquetry.engine.folders import Folders
from marquetry.engine.registry import describe
from marquetry.engine.resize import resize
from marquetry.nodes import latent as plane
from marquetry.nodes import latent_batch as batch
from marquetry.nodes import latent_file as file
from marquetry.nodes import latent_math as arithmetic


def latent(count: int = 1, height: int = 8, width: int = 8, seed: int = 0, **more: Any) -> dict[str, Any]:
    return {"samples": torch.randn(count, 4, height, width, generator=torch.Generator().manual_seed(seed)), **more}


def samples(made: dict[str, Any]) -> Tensor:
    tensor: Tensor = made["samples"]
    return tensor


@pytest.fixture
def context(tmp_path: Path) -> Context:
    folders = Folders(tmp_path)
    folders.create()
    return Context(Services(folders), prompt={"1": {"class_type": "EmptyLatentImage"}}, extra={"workflow": {"nodes": []}})


def test_empty_latents_are_zeros_of_an_eighth_of_the_size() -> None:
    assert torch.equal(samples(plane.empty(512, 256, 3)), torch.zeros(3, 4, 32, 64))
    assert samples(plane.empty_16_channels(64, 32)).shape == (1, 16, 4, 8)
    with pytest.raises(NodeFailed, match="pixels in all"):
        plane.empty(16384, 16384, 4096)


def test_a_side_of_zero_follows_from_the_other_and_two_leave_the_latent_alone() -> None:
    made = latent(1, 8, 16)
    assert plane.upscale(made, "bilinear", 0, 0, crop="disabled") is made
    assert samples(plane.upscale(made, "bilinear", 0, 128, crop="disabled")).shape[-2:] == (16, 32)
    assert samples(plane.upscale(made, "bilinear", 256, 0, crop="disabled")).shape[-2:] == (16, 32)
    assert samples(plane.upscale(made, "bilinear", 8, 16, crop="disabled")).shape[-2:] == (8, 8)


@pytest.mark.parametrize("method", ["nearest-exact", "bilinear", "area", "bicubic", "bislerp"])
def test_latents_are_resized_by_every_method(method: Any) -> None:
    made = latent(2, 8, 12)
    assert torch.equal(samples(plane.upscale(made, method, 128, 128, crop="center")), resize(samples(made), 16, 16, method, "center"))
    assert torch.equal(samples(plane.upscale_by(made, method, 1.3)), resize(samples(made), 16, 10, method))


def test_rotation_is_clockwise() -> None:
    corner = torch.zeros(1, 1, 2, 3)
    corner[0, 0, 0, 0] = 1.0  # top left
    assert samples(plane.rotate({"samples": corner}, "90 degrees"))[0, 0].tolist() == [[0, 1], [0, 0], [0, 0]]  # top right
    assert samples(plane.rotate({"samples": corner}, "180 degrees"))[0, 0].tolist() == [[0, 0, 0], [0, 0, 1]]
    assert samples(plane.rotate({"samples": corner}, "270 degrees"))[0, 0].tolist() == [[0, 0], [0, 0], [1, 0]]
    assert torch.equal(samples(plane.rotate({"samples": corner}, "none")), corner)


def test_flipping_mirrors_one_axis() -> None:
    made = latent()
    assert torch.equal(samples(plane.flip(made, "x-axis: vertically")), samples(made).flip(2))
    assert torch.equal(samples(plane.flip(made, "y-axis: horizontally")), samples(made).flip(3))


def test_cropping_keeps_at_least_64_pixels_a_side() -> None:
    made = latent(1, 16, 24)
    assert torch.equal(samples(plane.crop(made, 64, 72, 16, 8)), samples(made)[..., 1:10, 2:10])
    assert torch.equal(samples(plane.crop(made, 512, 512, 8000, 8000)), samples(made)[..., 8:, 16:])


def feathered(under: Tensor, over: Tensor, x: int, y: int, feather: int) -> Tensor:
    """The same by hand: value by value."""
    result = under.clone()
    for row in range(y, min(under.shape[-2], y + over.shape[-2])):
        for column in range(x, min(under.shape[-1], x + over.shape[-1])):
            height, width = min(over.shape[-2], under.shape[-2] - y), min(over.shape[-1], under.shape[-1] - x)
            share = 1.0
            if y != 0:
                share *= min(1.0, (row - y + 1) / feather)
            if y + height < under.shape[-2]:
                share *= min(1.0, (y + height - row) / feather)
            if x != 0:
                share *= min(1.0, (column - x + 1) / feather)
            if x + width < under.shape[-1]:
                share *= min(1.0, (x + width - column) / feather)
            result[..., row, column] = over[..., row - y, column - x] * share + under[..., row, column] * (1 - share)
    return result


@settings(max_examples=25, deadline=None)
@given(x=st.integers(0, 14), y=st.integers(0, 14), height=st.integers(1, 14), width=st.integers(1, 14), feather=st.integers(0, 4))
def test_a_latent_laid_over_another_fades_at_its_inner_edges(x: int, y: int, height: int, width: int, feather: int) -> None:
    under, over = latent(2, 12, 12), latent(1, height, width, 1)
    made = samples(plane.composite(under, over, 8 * x, 8 * y, 8 * feather))
    expected = feathered(samples(under), samples(over), x, y, max(1, feather))
    assert torch.allclose(made, expected, atol=1e-6)


def test_a_mask_says_how_far_a_latent_covers_another() -> None:
    under, over = latent(1, 8, 8), latent(1, 4, 4, 1)
    mask = torch.zeros(1, 4, 4)
    mask[..., 2:] = 1.0
    made = samples(plane.composite_masked(under, over, 16, 8, mask=mask))
    expected = samples(under).clone()
    expected[..., 1:5, 4:6] = samples(over)[..., 2:]
    assert torch.equal(made, expected)
    whole = samples(plane.composite_masked(under, over, resize_source=True))
    assert torch.equal(whole, resize(samples(over), 8, 8, "bilinear"))


def test_a_noise_mask_gets_a_channel() -> None:
    assert plane.set_noise_mask(latent(), torch.ones(2, 64, 64))["noise_mask"].shape == (2, 1, 64, 64)


def test_latents_picked_from_a_batch_keep_their_noise_and_masks() -> None:
    made = latent(5, noise_mask=torch.arange(2.0).reshape(2, 1, 1, 1).expand(2, 1, 64, 64))
    picked = batch.from_batch(made, 3, 9)
    assert torch.equal(samples(picked), samples(made)[3:])
    assert picked["batch_index"] == [3, 4]
    assert picked["noise_mask"][:, 0, 0, 0].tolist() == [1.0, 0.0]
    assert batch.from_batch(picked, -1, 1)["batch_index"] == [4]
    assert batch.from_batch(made, 99, 1)["batch_index"] == [4]
    assert len(batch.from_batch(latent(2, noise_mask=torch.ones(1, 1, 64, 64)), 1, 1)["noise_mask"]) == 1


def test_repetitions_of_a_batch_get_noise_of_their_own() -> None:
    made = latent(2, batch_index=[4, 6], noise_mask=torch.rand(2, 1, 64, 64))
    thrice = batch.repeat(made, 3)
    assert torch.equal(samples(thrice)[4:], samples(made))
    assert thrice["batch_index"] == [4, 6, 7, 9, 10, 12]
    assert torch.equal(thrice["noise_mask"][2:4], made["noise_mask"])
    assert "batch_index" not in batch.repeat(latent(2), 2)


def test_joining_resizes_the_second_batch_to_the_first() -> None:
    joined = batch.join(latent(2), latent(1, 4, 16, 1, batch_index=[7]))
    assert samples(joined).shape == (3, 4, 8, 8)
    assert joined["batch_index"] == [0, 1, 7]


def test_a_batch_may_share_one_noise() -> None:
    assert batch.seed_behavior(latent(3, batch_index=[5, 6, 7]), "fixed")["batch_index"] == [5, 5, 5]
    assert batch.seed_behavior(latent(2), "fixed")["batch_index"] == [0, 0]
    assert "batch_index" not in batch.seed_behavior(latent(2, batch_index=[1, 2]), "random")


def test_rebatching_cuts_runs_of_one_size_into_batches() -> None:
    latents = [latent(3), latent(2, seed=1), latent(1, 4, 4, 2), latent(2, seed=3)]
    batches = batch.rebatch(latents, [4])
    assert [tuple(samples(one).shape) for one in batches] == [(4, 4, 8, 8), (1, 4, 8, 8), (1, 4, 4, 4), (2, 4, 8, 8)]
    assert [one["batch_index"] for one in batches] == [[0, 1, 2, 3], [4], [5], [6, 7]]
    assert torch.equal(torch.cat([samples(one) for one in batches[:2]]), torch.cat([samples(one) for one in latents[:2]]))
    assert not any("noise_mask" in one for one in batches)


def test_rebatching_keeps_masks_where_they_hide_something() -> None:
    latents = [latent(2), latent(2, noise_mask=torch.zeros(1, 1, 16, 16))]
    first, second = batch.rebatch(latents, [2])
    assert "noise_mask" not in first
    assert torch.equal(second["noise_mask"], torch.zeros(2, 1, 64, 64))


def test_arithmetic_fits_the_second_latent_to_the_first() -> None:
    first, second = latent(3), latent(2, seed=1)
    repeated = samples(second)[[0, 1, 0]]
    assert torch.equal(samples(arithmetic.add(first, second)), samples(first) + repeated)
    assert torch.equal(samples(arithmetic.subtract(first, second)), samples(first) - repeated)
    assert torch.equal(samples(arithmetic.multiply(first, -2.5)), samples(first) * -2.5)
    assert torch.equal(samples(arithmetic.blend(first, latent(3, seed=1), 0.25)), samples(first) * 0.25 + samples(latent(3, seed=1)) * 0.75)
    resized = resize(samples(latent(1, 4, 4)), 8, 8, "bilinear", "center")
    assert torch.equal(samples(arithmetic.add(first, latent(1, 4, 4))), samples(first) + resized)
    assert samples(arithmetic.blend(first, latent(1, 4, 16))).shape == (3, 4, 8, 8)


def test_interpolation_mixes_lengths_and_directions_apart() -> None:
    first, second = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 4.0])
    made = arithmetic.interpolate({"samples": first.reshape(1, 2, 1, 1)}, {"samples": second.reshape(1, 2, 1, 1)}, 0.5)
    assert torch.allclose(samples(made).flatten(), torch.tensor([3.0, 3.0]) / 2**0.5)
    one, zero = latent(), {"samples": torch.zeros(1, 4, 8, 8)}
    assert torch.allclose(samples(arithmetic.interpolate(one, zero, 1.0)), samples(one), atol=1e-6)
    assert torch.equal(samples(arithmetic.interpolate(zero, zero, 0.5)), torch.zeros(1, 4, 8, 8))


def test_a_saved_latent_is_read_back_with_its_graph_beside_it(context: Context) -> None:
    made = latent(2)
    saved = file.save(made, context=context)
    assert saved.ui is not None and saved.value is not None
    assert saved.value.samples is made
    assert saved.ui["latents"] == [{"filename": "ComfyUI_00001_.latent", "subfolder": "latents", "type": "output"}]
    assert torch.equal(samples(file.load("latents/ComfyUI_00001_.latent [output]", context)), samples(made))
    with safe_open(context.folders.output / "latents" / "ComfyUI_00001_.latent", framework="pt") as written:
        assert written.metadata() == {"prompt": '{"1": {"class_type": "EmptyLatentImage"}}', "workflow": '{"nodes": []}'}


def test_files_from_before_the_format_had_a_version_are_unscaled(context: Context) -> None:
    save_file({"latent_tensor": torch.full((1, 4, 2, 2), 0.18215)}, context.folders.input / "old.latent")
    assert torch.allclose(samples(file.load("old.latent", context)), torch.ones(1, 4, 2, 2))


@pytest.mark.parametrize("content", [b"no tensors", None])
def test_files_that_hold_no_latent_are_refused_by_name(content: bytes | None, context: Context) -> None:
    path = context.folders.input / "wrong.latent"
    if content is None:
        save_file({"something": torch.zeros(1)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(NodeFailed, match=r"wrong\.latent"):
        file.load("wrong.latent", context)


def test_inputs_are_never_changed() -> None:
    first, second = latent(2, batch_index=[3, 4], noise_mask=torch.rand(2, 1, 64, 64)), latent(2, seed=1)
    kept = copy.deepcopy(first)
    for made in (
        plane.composite(first, second, 8, 8, 16), plane.composite_masked(first, second), plane.flip(first, "x-axis: vertically"),
        plane.set_noise_mask(first, torch.zeros(1, 8, 8)), batch.from_batch(first), batch.repeat(first, 2), batch.join(first, second),
        batch.seed_behavior(first, "random"), arithmetic.multiply(first, 2.0), *batch.rebatch([first], [1]),
    ):  # fmt: skip
        made["samples"] = made["samples"] + 1
    assert first.keys() == kept.keys()
    assert first["batch_index"] == kept["batch_index"]
    assert all(torch.equal(first[name], kept[name]) for name in ("samples", "noise_mask"))


def test_inputs_stand_in_the_order_that_clients_know_with_their_limits(tmp_path: Path) -> None:
    orders: dict[Callable[..., Any], list[str]] = {
        plane.empty: ["width", "height", "batch_size"],
        plane.upscale: ["samples", "upscale_method", "width", "height", "crop"],
        plane.composite: ["samples_to", "samples_from", "x", "y", "feather"],
        plane.composite_masked: ["destination", "source", "x", "y", "resize_source", "mask"],
        batch.from_batch: ["samples", "batch_index", "length"],
        arithmetic.interpolate: ["samples1", "samples2", "ratio"],
    }
    for function, names in orders.items():
        assert [declared.name for declared in node_type(function).inputs] == names
    described = describe(node_type(batch.rebatch), Folders(tmp_path))
    assert described["output_is_list"] == [True]
    assert described["input"]["required"]["latents"][0] == "LATENT"
    size = describe(node_type(plane.empty), Folders(tmp_path))["input"]["required"]["width"][1]
    assert (size["default"], size["min"], size["max"], size["step"]) == (512, 16, 16384, 8)
