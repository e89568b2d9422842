"""Nodes on encoded prompts."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from marquetry.engine.context import Context, Services
from marquetry.engine.declare import node_type
from marquetry.engine.errors import NodeFailed
from marquetry.engine.folders import Folders
from marquetry.engine.models.library import ModelLibrary
from marquetry.nodes import conditioning as nodes
from tests import checkpoints


def prompt(seed: int, length: int = 4, **options: Any) -> list[Any]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(1, length, 3, generator=generator), {"pooled_output": torch.randn(1, 3, generator=generator), **options}]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    folders = Folders(tmp_path)
    folders.create()
    checkpoints.write_checkpoint(folders.models / "checkpoints" / "tiny.safetensors")
    return Context(Services(folders, ModelLibrary(folders, device="cpu")))


def same(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


def test_combining_puts_one_behind_the_other() -> None:
    first, second = [prompt(1)], [prompt(2), prompt(3)]
    assert same(nodes.combine(first, second), [*first, *second])


def test_concatenation_appends_the_tokens_of_the_first_prompt_alone(context: Context) -> None:
    to, other = [prompt(1, strength=0.5), prompt(2, 6)], [prompt(3, 2), prompt(4)]
    joined = nodes.concat(to, other, context)
    assert [entry[0].shape[1] for entry in joined] == [6, 8]
    assert torch.equal(joined[1][0][:, 6:], other[0][0])
    assert same(joined[0][1], to[0][1])


@pytest.mark.parametrize("length", [2, 4, 7])
def test_averaging_mixes_embeddings_of_any_length_at_the_length_of_the_first(length: int, context: Context) -> None:
    to, other = [prompt(1)], [prompt(2, length)]
    mixed = nodes.average(to, other, 0.75, context=context)
    filled = torch.zeros(1, 4, 3)
    filled[:, : min(4, length)] = other[0][0][:, :4]
    assert torch.allclose(mixed[0][0], 0.75 * to[0][0] + 0.25 * filled)
    assert torch.allclose(mixed[0][1]["pooled_output"], 0.75 * to[0][1]["pooled_output"] + 0.25 * other[0][1]["pooled_output"])


def test_averaging_takes_the_pooled_output_that_there_is(context: Context) -> None:
    bare = [[torch.ones(1, 4, 3), {}]]
    assert same(nodes.average(bare, [prompt(2)], 0.75, context=context)[0][1]["pooled_output"], prompt(2)[1]["pooled_output"])
    assert same(nodes.average([prompt(1)], bare, 0.75, context=context)[0][1]["pooled_output"], prompt(1)[1]["pooled_output"])


def test_mixing_with_no_prompt_at_all_is_refused(context: Context) -> None:
    with pytest.raises(NodeFailed, match="no prompt"):
        nodes.concat([prompt(1)], [], context)


def test_areas_are_given_in_pixels_or_in_parts_of_the_picture() -> None:
    placed = nodes.set_area([prompt(1)], width=128, height=64, x=16, y=8, strength=2.0)[0][1]
    assert (placed["area"], placed["strength"], placed["set_area_to_bounds"]) == ((8, 16, 1, 2), 2.0, False)
    parts = nodes.set_area_percentage([prompt(1)], width=0.5, height=0.25, x=0.1, y=0.2)[0][1]
    assert (parts["area"], parts["strength"]) == (("percentage", 0.25, 0.5, 0.2, 0.1), 1.0)
    assert nodes.set_area_strength([prompt(1)], 3.0)[0][1]["strength"] == 3.0


def test_a_mask_gets_a_batch_and_may_bound_the_area() -> None:
    masked = nodes.set_mask([prompt(1)], torch.ones(8, 8), 0.5, set_cond_area="mask bounds")[0][1]
    assert (tuple(masked["mask"].shape), masked["mask_strength"], masked["set_area_to_bounds"]) == ((1, 8, 8), 0.5, True)
    assert nodes.set_mask([prompt(1)], torch.ones(2, 8, 8), set_cond_area="default")[0][1]["set_area_to_bounds"] is False


def test_a_prompt_may_count_for_a_part_of_the_sampling() -> None:
    timed = nodes.set_timestep_range([prompt(1)], 0.25, 0.5)[0][1]
    assert (timed["start_percent"], timed["end_percent"]) == (0.25, 0.5)


def test_zeroing_out_leaves_shapes_and_options() -> None:
    zero = nodes.zero_out([prompt(1, strength=0.5)])
    assert same(zero, [[torch.zeros(1, 4, 3), {"pooled_output": torch.zeros(1, 3), "strength": 0.5}]])


def test_multiplying_scales_embedding_and_pooled_output() -> None:
    original = prompt(1)
    assert same(nodes.multiply([original], -2.0), [[original[0] * -2.0, {"pooled_output": original[1]["pooled_output"] * -2.0}]])


def test_inputs_are_never_changed(context: Context) -> None:
    first, second = [prompt(1, strength=0.5)], [prompt(2, 9)]
    kept = copy.deepcopy((first, second))
    nodes.combine(first, second).append(prompt(9))
    nodes.concat(first, second, context)[0][1]["strength"] = 9
    nodes.average(first, second, 0.5, context=context)[0][1]["strength"] = 9
    nodes.set_area(first, strength=7.0)
    nodes.set_mask(first, torch.ones(1, 8, 8), set_cond_area="default")
    nodes.zero_out(first)[0][1]["strength"] = 9
    assert same([first, second], list(kept))


def test_inpainting_models_get_the_masked_picture_and_the_mask(context: Context) -> None:
    vae = context.models.load_checkpoint("tiny.safetensors").vae
    assert vae is not None
    pixels = torch.rand(1, 34, 41, 3, generator=torch.Generator().manual_seed(1))
    before = pixels.clone()
    mask = torch.zeros(1, 34, 41)
    mask[:, :, 20:] = 1.0
    made = nodes.inpaint_conditioning([prompt(1)], [prompt(2)], vae, pixels, mask, context=context)
    seen = made.positive[0][1]
    cropped, inside = pixels[:, 1:33, 0:40], mask[:, 1:33, 0:40]
    grey = torch.where(inside[..., None] > 0.5, 0.5, cropped)
    assert torch.allclose(seen["concat_latent_image"], vae.encode(grey), atol=1e-5)
    assert torch.equal(seen["concat_mask"], inside[:, None])
    assert torch.equal(made.latent["samples"], vae.encode(pixels))
    assert torch.equal(made.latent["noise_mask"], inside[:, None])
    assert same(made.negative[0][1]["concat_mask"], seen["concat_mask"])
    assert torch.equal(pixels, before)
    unmasked = nodes.inpaint_conditioning([prompt(1)], [prompt(2)], vae, pixels, mask, False, context=context)
    assert "noise_mask" not in unmasked.latent


def test_inputs_stand_in_the_order_that_clients_know() -> None:
    orders: dict[Callable[..., Any], list[str]] = {
        nodes.average: ["conditioning_to", "conditioning_from", "conditioning_to_strength"],
        nodes.set_area: ["conditioning", "width", "height", "x", "y", "strength"],
        nodes.set_mask: ["conditioning", "mask", "strength", "set_cond_area"],
        nodes.inpaint_conditioning: ["positive", "negative", "vae", "pixels", "mask", "noise_mask"],
    }
    for function, names in orders.items():
        assert [declared.name for declared in node_type(function).inputs] == names
    assert [output.name for output in node_type(nodes.inpaint_conditioning).outputs] == ["positive", "negative", "latent"]
