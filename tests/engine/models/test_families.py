"""Families: recognised from headers alone, and loaded bit for bit from every layout."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.folders import Folders
from marquetry.engine.models.families.family import Found
from marquetry.engine.models.families.registry import families, recognise, require
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.models.safetensors_file import Header, TensorInfo
from marquetry.engine.models.weights import PickleWeights
from marquetry.engine.sampling.model import DiffusionModel
from tests.checkpoints import (
    FamilyName,
    Layout,
    Networks,
    header_of,
    networks,
    original_checkpoint,
    write_checkpoint,
    write_folder,
    write_parts,
)

FAMILIES: tuple[FamilyName, ...] = ("sd1", "sd2")
LATENT = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
PICTURE = torch.rand(2, 64, 48, 3, generator=torch.Generator().manual_seed(2))
SIGMA = torch.tensor([7.0, 0.4])


@pytest.fixture
def library(tmp_path: Path) -> ModelLibrary:
    folders = Folders(tmp_path)
    folders.create()
    return ModelLibrary(folders, device="cpu", budget_bytes=2**30)


def twin(network: nn.Module, resident: Any) -> Any:
    """A network of the reference's own class and configuration on the very tensors that are resident, which must be the reference's.

    The same memory, since kernels may round otherwise where memory is aligned otherwise.
    """
    held = resident.state_dict()
    assert_same({name: held[name] for name in network.state_dict()}, network.state_dict())
    copied = copy.deepcopy(network)
    copied.load_state_dict({name: held[name] for name in network.state_dict()}, assign=True)
    return copied


def denoised(made: Networks, model: Any, embedding: Tensor) -> Tensor:
    """What diffusers' own network gives for the model's noise levels."""
    with model.resident.use() as resident, torch.no_grad():
        unet = twin(made.unet, resident)
        output = unet(model.sampling.scale_input(LATENT, SIGMA), model.sampling.timestep(SIGMA), encoder_hidden_states=embedding).sample
    expected: Tensor = model.sampling.to_denoised(LATENT, SIGMA, output)
    return expected


def assert_equals_networks(made: Networks, model: Any, clip: Any, vae: Any, clip_layer: int = -1) -> None:
    with clip.first.resident.use() as text, vae.resident.use() as autoencoder:
        encoder, decoder = twin(made.text_encoder, text), twin(made.vae, autoencoder)
    ids = torch.tensor([[token for token, _ in clip.first.tokenize("a red house").chunks[0]]])
    with torch.no_grad():
        hidden = encoder.final_layer_norm(encoder(ids, output_hidden_states=True).hidden_states[clip_layer])
        pictures, latents = decoder.decode(LATENT).sample, decoder.encode(PICTURE.movedim(-1, 1) * 2 - 1).latent_dist.mean
    encoded = clip.encode("a red house").embedding
    assert torch.equal(encoded, hidden)
    values = model.conditioning(encoded, {}, batch=2, latent_shape=(2, 4, 8, 8))
    assert torch.equal(model.denoise(LATENT, SIGMA, values), denoised(made, model, encoded.expand(2, -1, -1)))
    assert torch.equal(vae.decode(LATENT), ((pictures + 1) / 2).clamp(0, 1).movedim(1, -1))
    assert torch.equal(vae.encode(PICTURE), latents)


@pytest.mark.parametrize("name", FAMILIES)
def test_checkpoint_in_original_layout_equals_its_networks_bit_for_bit(library: ModelLibrary, name: FamilyName) -> None:
    write_checkpoint(library.folders.models / "checkpoints/a.safetensors", networks(name))

    model, clip, vae = library.load_checkpoint("a.safetensors")

    assert isinstance(model, DiffusionModel)
    assert model.family == name
    assert_equals_networks(networks(name), model, clip, vae, clip_layer=-1 if name == "sd1" else -2)


@pytest.mark.parametrize("name", FAMILIES)
def test_diffusers_folder_equals_its_networks_bit_for_bit(library: ModelLibrary, name: FamilyName) -> None:
    write_folder(library.folders.models / "diffusers/some", networks(name))

    assert library.store.names("diffusers") == ("some",)
    assert_equals_networks(networks(name), *library.load_checkpoint("some", "diffusers"))


SEPARATE: list[tuple[FamilyName, Layout, bool]] = [
    ("sd1", "original", True), ("sd1", "original", False), ("sd1", "diffusers", False), ("sd2", "original", True), ("sd2", "original", False),
]  # without sd2 in transformers' layout: only the width of 1024 tells such a text encoder from SD1's, and tiny ones lack it  # fmt: skip


@pytest.mark.parametrize(("name", "layout", "prefixed"), SEPARATE)
def test_separate_files_equal_their_networks_bit_for_bit(library: ModelLibrary, name: FamilyName, layout: Layout, prefixed: bool) -> None:
    paths = write_parts(library.folders.data / "parts", networks(name), layout=layout, prefixed=prefixed)
    for part, kind in (("unet", "diffusion_models"), ("text_encoder", "text_encoders"), ("vae", "vae")):
        library.folders.add_model_folder(kind, paths[part].parent)

    model = library.load_diffusion_model(paths["unet"].name)
    clip = library.load_text_encoder((paths["text_encoder"].name,), "stable_diffusion")
    vae = library.load_vae(paths["vae"].name)

    assert (model.family, clip.family) == (name, name)
    assert_equals_networks(networks(name), model, clip, vae, clip_layer=-1 if name == "sd1" else -2)


@pytest.mark.parametrize("name", FAMILIES)
def test_torch_checkpoint_equals_its_networks_bit_for_bit(library: ModelLibrary, name: FamilyName) -> None:
    torch.save({"state_dict": original_checkpoint(networks(name)), "epoch": 3}, library.folders.models / "checkpoints/a.ckpt")

    assert_equals_networks(networks(name), *library.load_checkpoint("a.ckpt"), clip_layer=-1 if name == "sd1" else -2)


@pytest.mark.parametrize("name", FAMILIES)
def test_original_names_are_those_that_diffusers_reads(name: FamilyName) -> None:
    from diffusers.loaders import single_file_utils

    made = networks(name)
    checkpoint = original_checkpoint(made)
    unet: Any = made.unet
    vae: Any = made.vae
    published: Any = single_file_utils

    as_unet = published.convert_ldm_unet_checkpoint(dict(checkpoint), dict(unet.config))
    as_vae = published.convert_ldm_vae_checkpoint(dict(checkpoint), dict(vae.config))

    assert_same(as_unet, made.unet.state_dict())
    assert_same({key: value.reshape(made.vae.state_dict()[key].shape) for key, value in as_vae.items()}, made.vae.state_dict())
    if name == "sd2":
        as_text = published.convert_open_clip_checkpoint(made.text_encoder, dict(checkpoint), prefix="cond_stage_model.model.")
        read = {key.removeprefix("text_model."): value for key, value in as_text.items()}
        wanted = made.text_encoder.state_dict()
        assert_same({key: value for key, value in read.items() if key in wanted}, {key: wanted[key] for key in read if key in wanted})
        assert len(read) > 20


def assert_same(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name


def real_unet(channels: int = 320, context: int = 768, linear: bool = False, **extra: tuple[int, ...]) -> Header:
    """The header of a UNet as it is published, without its weights."""
    from diffusers import UNet2DConditionModel

    make: Any = UNet2DConditionModel
    with torch.device("meta"):
        unet = make(
            block_out_channels=(channels, channels * 2, channels * 4, channels * 4),
            cross_attention_dim=context,
            attention_head_dim=8,
            use_linear_projection=linear,
        )
    shapes = {f"unet.{name}": tensor for name, tensor in unet.state_dict().items()}
    header = header_of(shapes)
    return Header("real", {**header.tensors, **{name: TensorInfo("F16", shape) for name, shape in extra.items()}})


def test_published_sizes_are_recognised_from_the_header_alone() -> None:
    first, second = require(real_unet(), "denoiser"), require(real_unet(context=1024, linear=True), "denoiser")

    assert (first.family, second.family) == ("sd1", "sd2")
    assert first.denoiser is not None and second.denoiser is not None
    assert first.denoiser.config["block_out_channels"] == (320, 640, 1280, 1280)
    assert first.denoiser.config["layers_per_block"] == 2
    assert first.denoiser.config["down_block_types"] == (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D")
    assert first.denoiser.config["attention_head_dim"] == 8
    assert second.denoiser.config["attention_head_dim"] == (5, 10, 20, 20)


def test_checkpoint_is_recognised_where_its_weights_are_missing(tmp_path: Path) -> None:
    import json
    import struct

    path = write_checkpoint(tmp_path / "whole.safetensors")
    whole = path.read_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    hollow = tmp_path / "hollow.safetensors"
    hollow.write_bytes(whole[: 8 + length])
    with hollow.open("r+b") as file:
        file.truncate(len(whole))
    assert json.loads(whole[8 : 8 + length])
    folders = Folders(tmp_path / "data")
    folders.add_model_folder("checkpoints", tmp_path)

    shown = ModelLibrary(folders, device="cpu").store.show("checkpoints", "hollow.safetensors")

    assert (shown.family, shown.parts) == ("sd1", ("denoiser", "text_encoder", "vae"))


def test_other_architectures_are_not_taken_for_stable_diffusion() -> None:
    assert recognise(header_of({"double_blocks.0.img_attn.qkv.weight": torch.zeros(1)})) is None
    sdxl = dict(original_checkpoint(networks("sd2")))
    sdxl["model.diffusion_model.label_emb.0.0.weight"] = torch.zeros(8, 8)

    found = recognise(header_of(sdxl))

    assert found is not None and found.denoiser is None
    with pytest.raises(ModelFormatError, match="no installed family reads a denoiser"):
        require(header_of(sdxl), "denoiser")


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(
    ("metadata", "extra", "prediction"),
    [
        ({}, {}, "epsilon"),
        ({"modelspec.prediction_type": "v"}, {}, "v_prediction"),
        ({"prediction_type": "v_prediction"}, {}, "v_prediction"),
        ({"modelspec.prediction_type": "epsilon"}, {"v_pred": torch.zeros(1)}, "epsilon"),
        ({}, {"v_pred": torch.zeros(1)}, "v_prediction"),
    ],
)
def test_prediction_is_what_the_file_says(
    library: ModelLibrary, name: FamilyName, metadata: dict[str, str], extra: dict[str, Tensor], prediction: str
) -> None:
    write_checkpoint(library.folders.models / "checkpoints/a-v-768.safetensors", networks(name), metadata=metadata, extra=extra)

    model = library.load_checkpoint("a-v-768.safetensors").model

    assert model.sampling.prediction == prediction
    encoded = torch.randn(1, 77, model.config["cross_attention_dim"])
    values = model.conditioning(encoded, {}, batch=2, latent_shape=(2, 4, 8, 8))
    assert torch.equal(model.denoise(LATENT, SIGMA, values), denoised(networks(name), model, encoded.expand(2, -1, -1)))


@pytest.mark.parametrize(("spread", "prediction"), [(0.05, "epsilon"), (0.2, "v_prediction")])
def test_published_sd2_is_told_apart_by_the_value_of_one_tensor(spread: float, prediction: str) -> None:
    header = real_unet(context=1024, linear=True)
    found = require(header, "denoiser")
    probe = "unet.up_blocks.3.attentions.2.transformer_blocks.0.norm1.bias"
    weights = PickleWeights.__new__(PickleWeights)
    weights.header = header
    weights._tensors = {probe: torch.tensor([spread, -spread] * 160)}

    assert next(known for known in families() if known.id == "sd2").sampling(found, weights, {}).prediction == prediction


def test_folder_says_what_it_predicts(library: ModelLibrary) -> None:
    write_folder(library.folders.models / "diffusers/v", networks("sd2"), prediction="v_prediction")

    assert library.load_checkpoint("v", "diffusers").model.sampling.prediction == "v_prediction"


def test_missing_tensor_is_named(library: ModelLibrary) -> None:
    from safetensors.torch import save_file

    state = original_checkpoint(networks())
    del state["model.diffusion_model.out.2.bias"]
    save_file(state, library.folders.models / "checkpoints/holes.safetensors")
    model = library.load_checkpoint("holes.safetensors").model

    with pytest.raises(ModelFormatError, match=r"holes\.safetensors lacks 1 tensors.*conv_out\.bias"), model.loaded():
        pass


def test_tensor_of_another_shape_is_named(library: ModelLibrary) -> None:
    from safetensors.torch import save_file

    state = original_checkpoint(networks()) | {"model.diffusion_model.time_embed.0.bias": torch.zeros(7)}
    save_file(state, library.folders.models / "checkpoints/odd.safetensors")
    model = library.load_checkpoint("odd.safetensors").model

    with pytest.raises(ModelFormatError, match=r"odd\.safetensors: 'time_embedding\.linear_1\.bias' has shape \[7\]"), model.loaded():
        pass


def test_every_family_has_one_name_and_serves_a_type_of_text_encoder() -> None:
    assert len({known.id for known in families()}) == len(families())
    assert all(known.text.types for known in families())
    assert isinstance(recognise(header_of(original_checkpoint(networks()))), Found)
