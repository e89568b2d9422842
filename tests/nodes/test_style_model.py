"""Flux Redux: diffusers' own tokens, behind the prompt, at any strength."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from marquetry.engine.context import Context, Services
from marquetry.engine.declare import node_type
from marquetry.engine.errors import ModelFormatError, NodeFailed
from marquetry.engine.models.families.flux import _biased
from marquetry.engine.models.vision import ImageEncoding
from marquetry.engine.registry import describe
from marquetry.nodes import style_model
from tests.engine.models.families.test_flux import transformer
from tests.engine.models.families.tiny import library_at, ours, seeded, stirred

SEEN, WIDTH = 40, 64


def redux() -> Any:
    from diffusers.pipelines.flux.modeling_flux import ReduxImageEncoder

    kind: Any = ReduxImageEncoder
    with seeded(1):
        return stirred(kind(redux_dim=SEEN, txt_in_features=WIDTH))


@pytest.fixture
def context(tmp_path: Path) -> Context:
    library = library_at(tmp_path)
    save_file(redux().state_dict(), library.folders.models / "style_models/redux.safetensors")
    return Context(Services(library.folders, library))


def encoding(count: int = 1, width: int = SEEN) -> ImageEncoding:
    tokens = torch.randn(count, 9, width, generator=torch.Generator().manual_seed(2))
    return ImageEncoding(tokens.mean(1), tokens, tokens)


def prompt(words: int = 6, width: int = WIDTH) -> list[Any]:
    return [[torch.randn(1, words, width, generator=torch.Generator().manual_seed(3)), {"pooled_output": torch.ones(1, WIDTH)}]]


def expected(seen: ImageEncoding) -> Tensor:
    with torch.no_grad():
        return torch.cat(list(redux()(seen.last_hidden_state).image_embeds))[None]


def test_shapes_are_comfyuis(context: Context) -> None:
    described = describe(node_type(style_model.apply_style_model), context.folders)
    assert list(described["input"]["required"]) == ["conditioning", "style_model", "clip_vision_output", "strength", "strength_type"]
    assert (described["name"], described["output"]) == ("StyleModelApply", ["CONDITIONING"])
    loader = describe(node_type(style_model.load_style_model), context.folders)
    assert (loader["name"], list(loader["input"]["required"]), loader["output"]) == (
        "StyleModelLoader",
        ["style_model_name"],
        ["STYLE_MODEL"],
    )


@pytest.mark.parametrize("count", [1, 2])
def test_tokens_are_diffusers_own_and_stand_behind_the_words(context: Context, count: int) -> None:
    model, words, seen = style_model.load_style_model("redux.safetensors", context), prompt(), encoding(count)
    ((embedding, options),) = style_model.apply_style_model(words, model, seen, 0.5, strength_type="multiply")
    assert embedding.shape == (1, 6 + 9 * count, WIDTH) and options == words[0][1]
    assert torch.equal(embedding[:, :6], words[0][0])
    torch.testing.assert_close(embedding[:, 6:], expected(seen) * 0.5, atol=1e-6, rtol=0)


@pytest.fixture
def flux(context: Context) -> Any:
    (context.folders.models / "diffusion_models").mkdir(exist_ok=True)
    with seeded(4):
        save_file(transformer().state_dict(), context.folders.models / "diffusion_models/flux.safetensors")
    return context.models.load_diffusion_model("flux.safetensors")


def made(flux: Any, conditioning: Any) -> Tensor:
    noise = torch.randn(1, 16, 4, 6, generator=torch.Generator().manual_seed(5))
    return ours(flux, conditioning, None, noise, [1.0, 0.6, 0.0], 1.0)


def test_attention_to_the_picture_is_weighed(context: Context, flux: Any) -> None:
    model, seen = style_model.load_style_model("redux.safetensors", context), encoding()

    def at(strength: float, kind: Literal["multiply", "attn_bias"] = "attn_bias") -> Tensor:
        return made(flux, style_model.apply_style_model(prompt(), model, seen, strength, strength_type=kind))

    torch.testing.assert_close(at(1.0), at(1.0, "multiply"), atol=1e-6, rtol=0)
    torch.testing.assert_close(at(0.0), made(flux, prompt()), atol=1e-5, rtol=0)  # the picture's tokens are there, and nobody looks
    assert float((at(0.3) - at(1.0)).abs().max()) > 1e-4


def test_words_and_picture_look_by_the_weight_and_a_group_at_itself_as_ever() -> None:
    bias = torch.tensor([[0.0, 0.0, 0.7, -0.2], [0, 0, 1, 2]])[None]
    mask = _biased(bias, torch.zeros(1, 1, 8))
    row = [0.0, 0.0, 0.7, -0.2, 0.0]
    assert mask.shape == (1, 1, 5, 5)
    torch.testing.assert_close(mask[0, 0], torch.tensor([row, row, [0.0, 0.0, 0.0, -0.2, 0.0], [0.0, 0.0, 0.7, 0.0, 0.0], row]))


def test_several_pictures_have_strengths_of_their_own(context: Context, flux: Any) -> None:
    model = style_model.load_style_model("redux.safetensors", context)
    once = style_model.apply_style_model(prompt(), model, encoding(), 0.25, strength_type="attn_bias")
    ((embedding, options),) = style_model.apply_style_model(once, model, encoding(2), 4.0, strength_type="attn_bias")
    bias = options["style_bias"]
    assert bias.shape == (2, embedding.shape[1]) and bias[1].tolist() == [0] * 6 + [1] * 9 + [2] * 18
    torch.testing.assert_close(bias[0], torch.tensor([0.0] * 6 + [math.log(0.25)] * 9 + [math.log(4)] * 18))
    unweighed = style_model.apply_style_model(once, model, encoding(2), 1.0, strength_type="multiply")
    assert unweighed[0][1]["style_bias"].shape == bias.shape
    assert made(flux, [[embedding, options]]).isfinite().all()


def test_another_encoder_or_another_model_is_named(context: Context) -> None:
    model = style_model.load_style_model("redux.safetensors", context)
    with pytest.raises(NodeFailed, match="whose tokens are 40 wide; these are 32 wide"):
        style_model.apply_style_model(prompt(), model, encoding(1, 32), strength_type="multiply")
    with pytest.raises(NodeFailed, match="the prompt's tokens are 32 wide"):
        style_model.apply_style_model(prompt(6, 32), model, encoding(), strength_type="multiply")


def test_what_is_no_style_model_is_named(context: Context) -> None:
    save_file({"some.block.weight": torch.zeros(1)}, context.folders.models / "style_models/x.safetensors")
    with pytest.raises(ModelFormatError, match=r"no known style model is in x\.safetensors: detected 1 tensors named some\.block\.\*"):
        style_model.load_style_model("x.safetensors", context)
