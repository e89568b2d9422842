"""Encoders of pictures give what transformers' own give, in every layout in which they are published."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from marquetry.engine.context import Context, Services
from marquetry.engine.declare import node_type
from marquetry.engine.errors import ModelFormatError
from marquetry.engine.models.safetensors_file import Header, TensorInfo
from marquetry.engine.models.vision import find_encoder
from marquetry.engine.registry import describe
from marquetry.engine.training.image_encoder import EncoderRecipe, build_encoder, write_encoder
from marquetry.nodes import clip_vision
from tests.engine.models.families.tiny import library_at, seeded, stirred

SIZES: dict[str, Any] = {"intermediate_size": 192, "num_hidden_layers": 3, "image_size": 28, "patch_size": 7}


@functools.cache
def clip(width: int = 128, activation: str = "quick_gelu") -> Any:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    with seeded(1):
        heads = max(1, min(16, width // 64))
        config = CLIPVisionConfig(**SIZES, hidden_size=width, num_attention_heads=heads, projection_dim=48, hidden_act=activation)
        return stirred(CLIPVisionModelWithProjection(config))


@functools.cache
def siglip() -> Any:
    from transformers import SiglipVisionConfig, SiglipVisionModel

    with seeded(2):
        return stirred(SiglipVisionModel(SiglipVisionConfig(**SIZES, hidden_size=128, num_attention_heads=2)))


def open_clip(network: Any) -> dict[str, Tensor]:
    """The encoder's tensors as OpenCLIP names them."""
    state = {name.removeprefix("vision_model."): tensor for name, tensor in network.state_dict().items()}
    out = {
        "conv1.weight": state["embeddings.patch_embedding.weight"],
        "class_embedding": state["embeddings.class_embedding"],
        "positional_embedding": state["embeddings.position_embedding.weight"],
        "proj": state["visual_projection.weight"].t().contiguous(),
    }
    for end in ("weight", "bias"):
        out[f"ln_pre.{end}"], out[f"ln_post.{end}"] = state[f"pre_layrnorm.{end}"], state[f"post_layernorm.{end}"]
        for layer in range(SIZES["num_hidden_layers"]):
            ours, theirs = f"encoder.layers.{layer}.", f"transformer.resblocks.{layer}."
            out[f"{theirs}attn.in_proj_{end}"] = torch.cat([state[f"{ours}self_attn.{name}_proj.{end}"] for name in "qkv"])
            for source, target in (
                ("self_attn.out_proj", "attn.out_proj"), ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"),
                ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"),
            ):  # fmt: skip
                out[f"{theirs}{target}.{end}"] = state[f"{ours}{source}.{end}"]
    return out


def under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor.clone() for name, tensor in state.items()}


@pytest.fixture
def context(tmp_path: Path) -> Context:
    library = library_at(tmp_path)
    return Context(Services(library.folders, library))


def load(context: Context, state: dict[str, Tensor]) -> Any:
    save_file(state, context.folders.models / "clip_vision/x.safetensors")
    return clip_vision.load_clip_vision("x.safetensors", context)


def picture(height: int, width: int, count: int = 2) -> Tensor:
    return torch.rand(count, height, width, 3, generator=torch.Generator().manual_seed(3))


def same_as(network: Any, encoder: Any, image: Tensor) -> None:
    """Ours equals transformers' for the same pixels."""
    encoded = clip_vision.encode_image(encoder, image, "center")
    with torch.no_grad():
        expected = network(pixel_values=encoder.seen(image), output_hidden_states=True)
    embeds = expected.image_embeds if "image_embeds" in expected else expected.pooler_output
    torch.testing.assert_close(encoded.image_embeds, embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(encoded["last_hidden_state"], expected.last_hidden_state, atol=1e-5, rtol=0)
    torch.testing.assert_close(encoded.penultimate_hidden_states, expected.hidden_states[-2], atol=1e-5, rtol=0)


def test_shapes_are_comfyuis(context: Context) -> None:
    loader, node = (describe(node_type(function), context.folders) for function in (clip_vision.load_clip_vision, clip_vision.encode_image))
    assert (loader["name"], list(loader["input"]["required"]), loader["output"]) == ("CLIPVisionLoader", ["clip_name"], ["CLIP_VISION"])
    assert (node["name"], list(node["input"]["required"]), node["output"]) == (
        "CLIPVisionEncode", ["clip_vision", "image", "crop"], ["CLIP_VISION_OUTPUT"],
    )  # fmt: skip
    assert node["input"]["required"]["crop"][0] == ["center", "none"]


@pytest.mark.parametrize("layout", ["transformers", "saved", "open_clip", "checkpoint"])
@pytest.mark.parametrize("width", [128, 1280])
def test_clip_is_transformers_own(context: Context, layout: str, width: int) -> None:
    network = clip(width, "quick_gelu" if width < 1280 else "gelu")
    state = {
        "transformers": lambda: under("", network.state_dict()) | {"vision_model.embeddings.position_ids": torch.arange(17)[None]},
        "saved": lambda: under("image_encoder.", network.state_dict()),
        "open_clip": lambda: under("visual.", open_clip(network)) | {"logit_scale": torch.zeros(())},
        "checkpoint": lambda: under("embedder.model.visual.", open_clip(network)),
    }[layout]()
    same_as(network, load(context, state), picture(40, 56))


@pytest.mark.parametrize("prefix", ["", "vision_model."])
def test_siglip_is_transformers_own(context: Context, prefix: str) -> None:
    encoder = load(context, under(prefix, siglip().state_dict()))
    assert encoder.sizes.kind == "siglip" and encoder.seen(torch.ones(1, 28, 28, 3)).eq(1.0).all()
    same_as(siglip(), encoder, picture(40, 56))


def test_an_encoder_that_was_trained_here_is_read(context: Context) -> None:
    recipe = EncoderRecipe(image_size=32, patch_size=8, width=64, layers=2, projection=16)
    with seeded(4):
        network: Any = stirred(build_encoder(recipe.config()))
    write_encoder(context.folders.models / "clip_vision/own.safetensors", network.half().float().state_dict(), recipe, "own")
    encoder = clip_vision.load_clip_vision("own.safetensors", context)
    assert encoder.found.recipe.config["num_attention_heads"] == 2
    same_as(network, encoder, picture(32, 32))


@pytest.mark.parametrize(("height", "width"), [(28, 28), (40, 56), (96, 32), (20, 25)])
def test_what_is_seen_is_what_transformers_processor_gives(context: Context, height: int, width: int) -> None:
    from PIL import Image
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    kind: Any = CLIPImageProcessorPil
    encoder = load(context, under("", clip().state_dict()))
    image = (picture(height, width, 1) * 255).round() / 255
    processor = kind(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    expected = processor(Image.fromarray((image[0] * 255).byte().numpy()), return_tensors="pt")["pixel_values"]
    seen = encoder.seen(image)
    assert seen.shape == expected.shape == (1, 3, 28, 28)
    assert float((seen - expected).abs().mean()) < 2 / 255 / 0.26


def test_without_cropping_the_whole_picture_is_seen(context: Context) -> None:
    encoder = load(context, under("", clip().state_dict()))
    image = torch.zeros(1, 28, 84, 3)
    image[:, :, :20] = 1.0
    assert float(encoder.seen(image, crop=True).std(dim=(2, 3)).max()) == 0.0
    assert float(encoder.seen(image, crop=False).std(dim=(2, 3)).min()) > 0.5


def test_many_and_grey_pictures_are_taken(context: Context) -> None:
    encoder = load(context, under("", clip().state_dict()))
    images = picture(28, 28, 11)
    encoded = encoder.encode_image(images)
    assert encoded.image_embeds.shape == (11, 48) and encoded.image_sizes[0] == (3, 28, 28)
    torch.testing.assert_close(encoded.image_embeds[9:10], encoder.encode_image(images[9:10]).image_embeds, atol=1e-5, rtol=0)
    grey = encoder.encode_image(images[..., :1]).image_embeds
    torch.testing.assert_close(grey, encoder.encode_image(images[..., :1].expand(-1, -1, -1, 3)).image_embeds)


def test_published_sizes_are_recognised_from_their_shapes() -> None:
    shapes = {
        "vision_model.embeddings.class_embedding": (1664,), "vision_model.embeddings.patch_embedding.weight": (1664, 3, 14, 14),
        "vision_model.embeddings.position_embedding.weight": (257, 1664), "vision_model.encoder.layers.0.mlp.fc1.weight": (8192, 1664),
        "visual_projection.weight": (1280, 1664),
    }  # fmt: skip
    big = find_encoder(header(shapes))
    assert big is not None and (big.sizes.side, big.sizes.projection) == (224, 1280)
    assert (big.recipe.config["num_attention_heads"], big.recipe.config["hidden_act"]) == (16, "gelu")
    shapes = {
        "vision_model.embeddings.patch_embedding.weight": (1152, 3, 14, 14), "vision_model.embeddings.position_embedding.weight": (729, 1152),
        "vision_model.encoder.layers.0.mlp.fc1.weight": (4304, 1152), "vision_model.head.probe": (1, 1, 1152),
    }  # fmt: skip
    sigclip = find_encoder(header(shapes))
    assert sigclip is not None and sigclip.sizes.side == 378 and sigclip.recipe.config["num_attention_heads"] == 16


def header(shapes: dict[str, tuple[int, ...]]) -> Header:
    return Header("x", {name: TensorInfo("F16", shape) for name, shape in shapes.items()})


def test_what_is_no_image_encoder_is_named(context: Context) -> None:
    with pytest.raises(ModelFormatError, match=r"no known image encoder is in x\.safetensors: detected 1 tensors named some\.block\.\*"):
        load(context, {"some.block.weight": torch.zeros(1)})
