"""LoRA nodes on a real model from files."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL.Image import Image as Picture
from safetensors.torch import save_file
from torch import Tensor

from marquetry.engine.context import Context, Services
from marquetry.engine.declare import node_type
from marquetry.engine.errors import ModelNotFound, NodeFailed
from marquetry.engine.folders import Folders
from marquetry.engine.models.adapters.shelf import AdapterShelf
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.registry import describe
from marquetry.nodes import lora
from marquetry.nodes.latent import empty
from marquetry.nodes.sampling import ksampler
from marquetry.nodes.text_encode import encode_text
from tests import checkpoints

UNET_MODULE = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
TEXT_MODULE = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"


class Heard:
    """A reporter that remembers the texts."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def progress(self, node_id: str, value: float, total: float, preview: Picture | None) -> None:
        pass

    def text(self, node_id: str, text: str) -> None:
        self.texts.append(text)


def low_rank(name: str, rows: int, columns: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    up, down = torch.randn(rows, 4, generator=generator), torch.randn(4, columns, generator=generator)
    return {f"{name}.lora_up.weight": up, f"{name}.lora_down.weight": down}


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def context(tmp_path: Path, heard: Heard) -> Context:
    folders = Folders(tmp_path)
    folders.create()
    checkpoints.write_checkpoint(folders.models / "checkpoints" / "tiny.safetensors")
    loras = folders.models / "loras"
    unet, text = low_rank(UNET_MODULE, 32, 64), low_rank(TEXT_MODULE, 64, 64)
    save_file(unet | text, loras / "both.safetensors")
    save_file(unet, loras / "unet.safetensors")
    save_file(text, loras / "text.safetensors")
    save_file(unet | low_rank("lora_unet_elsewhere", 3, 3) | low_rank("lora_te2_text_model_fc", 3, 3), loras / "partly.safetensors")
    save_file(low_rank(UNET_MODULE, 320, 2048), loras / "xl.safetensors")
    return Context(Services(folders, ModelLibrary(folders, device="cpu")), reporter=heard)


def predicted(model: Any) -> Tensor:
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    tokens = torch.randn(1, 77, 64, generator=torch.Generator().manual_seed(3))
    conditioning = model.conditioning(tokens, {}, batch=1, latent_shape=(1, 4, 8, 8))
    answer: Tensor = model.denoise(x, torch.tensor([5.0]), conditioning)
    return answer


def encoded(clip: Any) -> Tensor:
    embedding: Tensor = clip.encode("a red house").embedding
    return embedding


def test_a_lora_changes_model_and_text_encoder_each_by_its_own_strength(context: Context, heard: Heard) -> None:
    model, clip, _ = context.models.load_checkpoint("tiny.safetensors")
    both = lora.load_lora(model, clip, "both.safetensors", 1.0, 1.0, context=context)
    assert not torch.allclose(predicted(both.MODEL), predicted(model), atol=1e-4)
    assert not torch.allclose(encoded(both.CLIP), encoded(clip), atol=1e-4)
    model_only = lora.load_lora(model, clip, "both.safetensors", 1.0, 0.0, context=context)
    assert torch.equal(predicted(model_only.MODEL), predicted(both.MODEL))
    assert torch.equal(encoded(model_only.CLIP), encoded(clip))
    clip_only = lora.load_lora(model, clip, "both.safetensors", 0.0, 1.0, context=context)
    assert torch.equal(predicted(clip_only.MODEL), predicted(model))
    assert torch.equal(encoded(clip_only.CLIP), encoded(both.CLIP))
    assert heard.texts == []


def test_a_picture_made_with_a_lora_is_that_of_a_checkpoint_with_the_lora_merged_in(context: Context) -> None:
    made = copy.deepcopy(checkpoints.networks())
    for network, module, name, rows, columns in (
        (made.unet, "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k", UNET_MODULE, 32, 64),
        (made.text_encoder, "encoder.layers.0.self_attn.q_proj", TEXT_MODULE, 64, 64),
    ):
        factors = low_rank(name, rows, columns)
        change = factors[f"{name}.lora_up.weight"] @ factors[f"{name}.lora_down.weight"]
        network.get_parameter(f"{module}.weight").data.add_(change, alpha=0.7)
    checkpoints.write_checkpoint(context.folders.models / "checkpoints" / "merged.safetensors", made)

    def sampled(model: Any, clip: Any) -> Tensor:
        positive, negative = (encode_text(text, clip, context) for text in ("a red house", ""))
        result = ksampler(
            context=context, model=model, seed=5, steps=3, cfg=4.0, sampler_name="euler", scheduler="normal",
            positive=positive, negative=negative, latent_image=empty(64, 64),
        )  # fmt: skip
        latent: Tensor = result["samples"]
        return latent

    merged = context.models.load_checkpoint("merged.safetensors")
    model, clip, _ = context.models.load_checkpoint("tiny.safetensors")
    adapted = lora.load_lora(model, clip, "both.safetensors", 0.7, 0.7, context=context)
    expected = sampled(merged.model, merged.clip)
    assert (sampled(adapted.MODEL, adapted.CLIP) - expected).norm() / expected.norm() < 1e-5
    assert (sampled(model, clip) - expected).norm() / expected.norm() > 1e-2


def test_loras_in_a_row_add_up_and_opposite_ones_cancel(context: Context) -> None:
    model = context.models.load_checkpoint("tiny.safetensors").model
    once = lora.load_lora_model_only(model, "unet.safetensors", 0.8, context=context)
    back = lora.load_lora_model_only(once, "unet.safetensors", -0.8, context=context)
    assert not torch.allclose(predicted(once), predicted(model), atol=1e-4)
    assert torch.allclose(predicted(back), predicted(model), atol=1e-5)


def test_strength_zero_gives_back_the_very_same_objects_without_reading_the_file(context: Context) -> None:
    model, clip, _ = context.models.load_checkpoint("tiny.safetensors")
    assert lora.load_lora(model, clip, "absent.safetensors", 0.0, 0.0, context=context) == (model, clip)
    with pytest.raises(ModelNotFound, match="absent"):
        lora.load_lora(model, clip, "absent.safetensors", 1.0, 0.0, context=context)


def test_what_finds_no_place_is_shown_on_the_node(context: Context, heard: Heard) -> None:
    model, clip, _ = context.models.load_checkpoint("tiny.safetensors")
    lora.load_lora(model, clip, "partly.safetensors", context=context)
    assert heard.texts == [
        "partly.safetensors: 2 entries find no place in this model and are left out: lora_te2_text_model_fc, lora_unet_elsewhere"
    ]


def test_a_lora_of_another_base_fails_with_the_base_that_it_seems_made_for(context: Context) -> None:
    model, clip, _ = context.models.load_checkpoint("tiny.safetensors")
    with pytest.raises(NodeFailed, match="seems made for Stable Diffusion XL"):
        lora.load_lora(model, clip, "xl.safetensors", context=context)
    with pytest.raises(NodeFailed, match="only a text encoder"):
        lora.load_lora_model_only(model, "text.safetensors", context=context)


def test_a_stack_is_its_loras_one_after_another(context: Context) -> None:
    model, clip, _ = context.models.load_checkpoint("tiny.safetensors")
    stacked = lora.load_lora_stack(
        model,
        lora_name_1="unet.safetensors",
        strength_model_1=0.5,
        lora_name_3="both.safetensors",
        strength_clip_3=0.25,
        clip=clip,
        context=context,
    )
    first = lora.load_lora(model, clip, "unet.safetensors", 0.5, 1.0, context=context)
    second = lora.load_lora(first.MODEL, first.CLIP, "both.safetensors", 1.0, 0.25, context=context)
    assert torch.equal(predicted(stacked.MODEL), predicted(second.MODEL))
    assert torch.equal(encoded(stacked.CLIP), encoded(second.CLIP))
    alone = lora.load_lora_stack(model, lora_name_1="unet.safetensors", strength_model_1=0.5, context=context)
    assert torch.equal(predicted(alone.MODEL), predicted(first.MODEL))
    assert alone.CLIP is None


def test_each_lora_of_a_stack_counts_as_one_operation() -> None:
    rule = node_type(lora.load_lora_stack).usage
    assert rule is not None
    assert [(usage.operation, usage.quantity) for usage in rule({"lora_name_2": "a", "lora_name_3": "None", "lora_name_4": "b"})] == [
        ("lora.apply", 2)
    ]


def test_an_adapter_is_read_once_for_everybody_and_the_oldest_put_away(context: Context) -> None:
    path = context.folders.full_path("loras", "unet.safetensors")
    shelf = AdapterShelf(limit_bytes=2000)
    first = shelf.read(path, "a")
    assert shelf.read(path, "a") is first
    shelf.read(path, "b")
    assert shelf.nbytes == first.nbytes
    assert shelf.read(path, "a") is not first


def test_loaders_are_described_as_clients_know_them(context: Context) -> None:
    described = describe(node_type(lora.load_lora), context.folders)
    assert described["input_order"] == {"required": ["model", "clip", "lora_name", "strength_model", "strength_clip"]}
    assert described["output"] == ["MODEL", "CLIP"]
    strength = described["input"]["required"]["strength_model"]
    assert strength[0] == "FLOAT"
    assert {key: strength[1][key] for key in ("default", "min", "max", "step")} == {
        "default": 1.0,
        "min": -100.0,
        "max": 100.0,
        "step": 0.01,
    }
    assert "both.safetensors" in described["input"]["required"]["lora_name"][0]
    alone = describe(node_type(lora.load_lora_model_only), context.folders)
    assert alone["input_order"] == {"required": ["model", "lora_name", "strength_model"]}
