"""Nodes of Qwen-Image's editing models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from marquetry.engine.context import Context, Services
from marquetry.engine.errors import NodeFailed
from marquetry.engine.models.families.qwen_image import EDIT_TEMPLATE, SEEN
from marquetry.engine.models.library import ModelLibrary
from marquetry.nodes import qwen
from tests.engine.models.families.test_qwen_image import NAME, published_text, published_vae
from tests.engine.models.families.tiny import library_at

PROMPT = "put a hat on it"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    library = library_at(tmp_path_factory.mktemp("data"))
    for folder, tensors in (("text_encoders", published_text()), ("vae", published_vae())):
        (library.folders.models / folder).mkdir(parents=True, exist_ok=True)
        save_file(tensors, library.folders.models / folder / NAME)
    return library


def context_of(library: ModelLibrary) -> Context:
    return Context(Services(library.folders, library))


@pytest.fixture
def clip(library: ModelLibrary) -> Any:
    return library.load_text_encoder((NAME,), "qwen_image")


def test_an_edited_picture_is_seen_and_referred_to(library: ModelLibrary, clip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qwen, "EDITED_PIXELS", 64 * 64)
    vae, picture = library.load_vae(NAME), torch.rand(1, 32, 128, 3, generator=torch.Generator().manual_seed(1))
    ((embedding, extras),) = qwen.encode_edit(clip, PROMPT, vae, picture, context=context_of(library))
    expected = clip.encode_seeing(SEEN + PROMPT, [picture], EDIT_TEMPLATE)
    assert torch.equal(embedding, expected.embedding)
    assert torch.equal(extras["reference_latents"][0], vae.encode(picture))
    ((_, alone),) = qwen.encode_edit(clip, PROMPT, None, picture, context=context_of(library))
    assert "reference_latents" not in alone


def test_an_instruction_without_a_picture_is_a_prompt(library: ModelLibrary, clip: Any) -> None:
    ((embedding, extras),) = qwen.encode_edit(clip, PROMPT, context=context_of(library))
    assert torch.equal(embedding, clip.encode(PROMPT).embedding) and "reference_latents" not in extras


def test_several_pictures_are_numbered_by_their_inputs(library: ModelLibrary, clip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qwen, "EDITED_PIXELS", 64 * 64)
    monkeypatch.setattr(qwen, "SEEN_PIXELS", 56 * 56)
    generator = torch.Generator().manual_seed(2)
    first, third = (torch.rand(1, 60, side, 3, generator=generator) for side in (60, 100))
    vae = library.load_vae(NAME)
    ((embedding, extras),) = qwen.encode_edit_plus(clip, PROMPT, vae, first, None, third, context=context_of(library))
    seen = [qwen._of_area(picture, 56 * 56, 1) for picture in (first, third)]
    expected = clip.encode_seeing(f"Picture 1: {SEEN}Picture 3: {SEEN}{PROMPT}", seen, EDIT_TEMPLATE)
    assert torch.equal(embedding, expected.embedding)
    assert [tuple(latent.shape) for latent in extras["reference_latents"]] == [(1, 16, 8, 8), (1, 16, 6, 10)]


def test_without_pictures_the_template_of_editing_stays(library: ModelLibrary, clip: Any) -> None:
    ((embedding, _),) = qwen.encode_edit_plus(clip, PROMPT, context=context_of(library))
    assert not torch.equal(embedding, clip.encode(PROMPT).embedding)


def test_a_text_encoder_without_eyes_says_so(tmp_path: Path, clip: Any) -> None:
    library = library_at(tmp_path)
    words = {name: tensor for name, tensor in published_text().items() if not name.startswith("visual.")}
    (tmp_path / "models/text_encoders").mkdir(parents=True, exist_ok=True)
    save_file(words, library.folders.models / "text_encoders" / NAME)
    blind = library.load_text_encoder((NAME,), "qwen_image")
    assert torch.equal(blind.encode(PROMPT).embedding, clip.encode(PROMPT).embedding)
    with pytest.raises(NodeFailed, match="sees no pictures"):
        qwen.encode_edit(blind, PROMPT, None, torch.rand(1, 56, 56, 3), context=context_of(library))
    with pytest.raises(NodeFailed, match="CLIPLoader"):
        qwen.encode_edit(None, PROMPT, context=context_of(library))


class Guided:
    """Stands for a MODEL whose options are looked at."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def with_options(self, **options: Any) -> Guided:
        return Guided(**{**self.options, **options})


def test_guidance_is_held_to_the_length_of_the_positive_estimate() -> None:
    (model,) = qwen.cfg_norm(Guided(sampler_post_cfg_function=("another",)), 0.5)
    another, limited = model.options["sampler_post_cfg_function"]
    positive = torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1)
    made = limited({"denoised": positive * 10, "cond_denoised": positive})
    shorter = limited({"denoised": positive * 0.1, "cond_denoised": positive})
    assert another == "another"
    torch.testing.assert_close(made, positive * 0.5)
    torch.testing.assert_close(shorter, positive * 0.05)
