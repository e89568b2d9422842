"""The single file is in the original SD1 layout and loses nothing that half precision holds."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors import safe_open

from marquetry.engine.training.recipe import NetworkSizes
from marquetry.engine.training.single_file import Model, build_model, read_facts, read_model, write_model

SIZES = [
    NetworkSizes(16, (32, 32, 32, 32), 1, (32, 64), 1, 64, 1),
    NetworkSizes(16, (32, 32, 64, 64), 1, (64, 64), 2, 64, 2),
]


@pytest.fixture(params=SIZES, ids=["one block", "two blocks"])
def model(request: pytest.FixtureRequest) -> Model:
    torch.manual_seed(0)
    model = build_model(request.param)
    for network in (model.unet, model.autoencoder, model.text_encoder):
        network.half().float()
    return model


def write(model: Model, path: Path) -> Path:
    write_model(path, model.sizes, model.states(), {"modelspec.title": "tiny"})
    return path


def test_a_written_model_reads_back_to_the_bit(model: Model, tmp_path: Path) -> None:
    read = read_model(write(model, tmp_path / "model.safetensors"))

    for written, back in [(model.unet, read.unet), (model.autoencoder, read.autoencoder), (model.text_encoder, read.text_encoder)]:
        assert written.state_dict().keys() == back.state_dict().keys()
        assert all(torch.equal(weight, back.state_dict()[name]) for name, weight in written.state_dict().items())


def test_diffusers_reads_the_same_weights_from_the_single_file(model: Model, tmp_path: Path) -> None:
    path = write(model, tmp_path / "model.safetensors")
    model.unet.save_config(tmp_path / "unet")
    model.autoencoder.save_config(tmp_path / "vae")

    unet = UNet2DConditionModel.from_single_file(str(path), config=str(tmp_path), subfolder="unet", local_files_only=True)
    autoencoder = AutoencoderKL.from_single_file(str(path), config=str(tmp_path), subfolder="vae", local_files_only=True)

    for written, back in [(model.unet, unet), (model.autoencoder, autoencoder)]:
        assert written.state_dict().keys() == back.state_dict().keys()
        assert all(torch.equal(weight, back.state_dict()[name].float()) for name, weight in written.state_dict().items())


def test_names_are_those_of_the_original_layout(model: Model, tmp_path: Path) -> None:
    with safe_open(write(model, tmp_path / "model.safetensors"), framework="pt") as file:
        names = set(file.keys())
        dtypes = {file.get_tensor(name).dtype for name in names}

    assert dtypes == {torch.float16}
    assert {
        "model.diffusion_model.input_blocks.0.0.weight",
        "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight",
        "model.diffusion_model.out.2.bias",
        "first_stage_model.encoder.down.0.block.0.conv1.weight",
        "first_stage_model.decoder.mid.attn_1.proj_out.weight",
        "first_stage_model.quant_conv.weight",
        "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
        "cond_stage_model.transformer.text_model.final_layer_norm.weight",
    } <= names


def test_the_file_tells_its_facts(model: Model, tmp_path: Path) -> None:
    assert read_facts(write(model, tmp_path / "model.safetensors"))["modelspec.title"] == "tiny"
