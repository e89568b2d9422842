"""Nodes of Flux and its kin."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from marquetry.engine.context import Context, Services
from marquetry.engine.folders import Folders
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.sampling.model_sampling import FlowSampling
from marquetry.nodes import edit, flux, text_encode_families
from tests import checkpoints
from tests.engine.models.families.tiny import clip_text, library_at, seeded, t5_text

WORDS: list[Any] = [[torch.zeros(1, 4, 8), {"pooled_output": torch.zeros(1, 8)}]]


class Shifted:
    """Stands for a MODEL whose noise levels are looked at."""

    sampling: FlowSampling

    def with_sampling(self, sampling: FlowSampling) -> Shifted:
        self.sampling = sampling
        return self


def test_guidance_is_set_on_every_prompt_and_the_given_ones_stay() -> None:
    made = flux.guidance(WORDS, 2.0)
    assert made[0][1]["guidance"] == 2.0 and "guidance" not in WORDS[0][1]


@pytest.mark.parametrize(("side", "shift"), [(256, 0.5), (1024, 1.15)])
def test_levels_are_shifted_by_the_pictures_size(side: int, shift: float) -> None:
    model: Any = flux.model_sampling_flux(Shifted(), 1.15, 0.5, side, side)
    assert model.sampling.shift == pytest.approx(math.exp(shift))
    assert float(model.sampling.timestep(torch.tensor(0.25))) == 0.25


def test_reference_pictures_follow_each_other() -> None:
    first, second = torch.zeros(1, 16, 2, 2), torch.ones(1, 16, 2, 2)
    once = flux.reference_latent(WORDS, {"samples": first})
    twice = flux.reference_latent(once, {"samples": second})
    assert [float(picture.mean()) for picture in twice[0][1]["reference_latents"]] == [0.0, 1.0]
    assert len(once[0][1]["reference_latents"]) == 1
    assert flux.reference_latent(WORDS) is WORDS
    assert flux.reference_method(once, "uxo/uno")[0][1]["reference_latents_method"] == "uxo"


@pytest.mark.parametrize(("size", "wanted"), [((100, 100), (1024, 1024)), ((90, 160), (752, 1392)), ((300, 100), (1568, 672))])
def test_pictures_come_to_the_size_of_the_nearest_proportions(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert flux.kontext_size(torch.rand(1, *size, 3)).shape == (1, *wanted, 3)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    from safetensors.torch import save_file

    library = library_at(tmp_path_factory.mktemp("data"))
    folder = library.folders.models / "text_encoders"
    folder.mkdir(parents=True, exist_ok=True)
    with seeded(4):
        for name, network in (
            ("l", clip_text(64, 2, "quick_gelu", projected=False)), ("g", clip_text(128, 2, "gelu", projected=True)), ("t5", t5_text(256)),
        ):  # fmt: skip
            save_file({key: tensor.clone() for key, tensor in network.state_dict().items()}, folder / f"{name}.safetensors")
    return library


def context_of(library: ModelLibrary) -> Context:
    return Context(Services(library.folders, library))


def clip_of(library: ModelLibrary, kind: str, *names: str) -> Any:
    return library.load_text_encoder([f"{name}.safetensors" for name in names], kind)


def test_each_encoder_gets_its_own_words(library: ModelLibrary) -> None:
    context = context_of(library)
    clip = clip_of(library, "flux", "l", "t5")
    made = text_encode_families.encode_flux(clip, "a cat", "a dog", 2.0, context=context)
    assert torch.equal(made[0][0], clip.encode("a dog").embedding)
    assert torch.equal(made[0][1]["pooled_output"], clip.encode("a cat").pooled) and made[0][1]["guidance"] == 2.0
    large = clip_of(library, "sdxl", "l", "g")
    told = text_encode_families.encode_sdxl(large, 640, 512, 0, 8, 1024, 1024, text_g="a dog", text_l="a cat", context=context)
    assert torch.equal(told[0][0][..., :64], large.encode("a cat").embedding[..., :64])
    assert (told[0][1]["width"], told[0][1]["crop_h"]) == (640, 8)


def test_an_encoder_with_nothing_to_say_may_be_left_out(library: ModelLibrary) -> None:
    context, clip = context_of(library), clip_of(library, "sd3", "l", "g", "t5")
    silent = text_encode_families.encode_sd3(clip, "a cat", "a cat", "", "none", context)
    spoken = text_encode_families.encode_sd3(clip, "a cat", "a cat", "", "empty_prompt", context)
    assert silent[0][0].shape[1] == 77 and spoken[0][0].shape[1] == 154


def test_prompts_for_t5_are_filled_up_as_is_asked(library: ModelLibrary) -> None:
    clip = clip_of(library, "flux", "l", "t5")
    assert clip.encode("a cat").embedding.shape[1] == 256
    assert text_encode_families.t5_tokenizer_options(clip, 0, 300).encode("a cat").embedding.shape[1] == 300
    assert text_encode_families.t5_tokenizer_options(clip, 260, 0).encode("a cat").embedding.shape[1] > 260


def test_the_picture_to_edit_is_shown_to_both_prompts(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    folders.create()
    checkpoints.write_checkpoint(folders.models / "checkpoints" / "tiny.safetensors")
    context = Context(Services(folders, ModelLibrary(folders, device="cpu")))
    vae = context.models.load_checkpoint("tiny.safetensors").vae
    assert vae is not None
    pixels = torch.rand(1, 34, 48, 3)
    positive, negative, latent = edit.instruct_conditioning(WORDS, WORDS, vae, pixels, context)
    assert torch.equal(positive[0][1]["concat_latent_image"], vae.encode(pixels)) and negative[0][1]["concat_latent_image"] is not None
    assert latent["samples"].shape == (1, 4, 4, 6) and not latent["samples"].any()
