"""Spellings that published files have beside the usual ones."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from marquetry.engine.folders import Folders
from marquetry.engine.models.library import ModelLibrary
from tests.checkpoints import networks, original_checkpoint

OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


@pytest.fixture
def library(tmp_path: Path) -> ModelLibrary:
    folders = Folders(tmp_path)
    folders.create()
    return ModelLibrary(folders, device="cpu", budget_bytes=2**30)


def assert_loads(state: dict[str, Tensor], library: ModelLibrary, family: str) -> None:
    """All three networks get the tensors of the family's tiny networks."""
    save_file(state, library.folders.models / "checkpoints/a.safetensors")
    model, clip, vae = library.load_checkpoint("a.safetensors")
    assert clip is not None and vae is not None
    made = networks("sd1" if family == "sd1" else "sd2")
    for loaded, network in ((model, made.unet), (clip.first, made.text_encoder), (vae, made.vae)):
        resident: Any = loaded.resident
        with resident.use() as loaded_network:
            held = loaded_network.state_dict()
            assert all(torch.equal(held[name], tensor) for name, tensor in network.state_dict().items())


def test_early_autoencoders_spell_attention_otherwise(library: ModelLibrary) -> None:
    state: dict[str, Tensor] = {}
    for name, tensor in networks().vae.state_dict().items():
        spelled = name
        for new, old in OLD_ATTENTION.items():
            spelled = spelled.replace(f"attentions.0.{new}.", f"attentions.0.{old}.")
        state[spelled] = tensor
    save_file(state, library.folders.models / "vae/old.safetensors")

    with library.load_vae("old.safetensors").resident.use() as network:
        held = network.state_dict()

    assert all(torch.equal(held[name], tensor) for name, tensor in networks().vae.state_dict().items())


def test_early_checkpoints_leave_a_level_out_of_text_names(library: ModelLibrary) -> None:
    state = original_checkpoint(networks())

    assert_loads({name.replace("transformer.text_model.", "transformer."): tensor for name, tensor in state.items()}, library, "sd1")


def test_averages_positions_and_training_leftovers_are_not_read(library: ModelLibrary) -> None:
    extra = {
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(77)[None],
        "model_ema.diffusion_modelinput_blocks00weight": torch.zeros(1),
        "betas": torch.zeros(1000),
        "first_stage_model.loss.logvar": torch.zeros(1),
    }

    assert_loads(original_checkpoint(networks()) | extra, library, "sd1")


def test_open_clip_under_another_name_is_found(library: ModelLibrary) -> None:
    state = original_checkpoint(networks("sd2")) | {"cond_stage_model.model.logit_scale": torch.zeros(1)}

    assert_loads(
        {name.replace("cond_stage_model.model.", "conditioner.embedders.0.model."): tensor for name, tensor in state.items()},
        library,
        "sd2",
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files_are_widened(library: ModelLibrary, dtype: torch.dtype) -> None:
    state = {name: tensor.to(dtype) for name, tensor in original_checkpoint(networks()).items()}
    save_file(state, library.folders.models / "checkpoints/half.safetensors")
    model = library.load_checkpoint("half.safetensors").model

    with model.resident.use() as network:
        weight = network.get_parameter("conv_in.weight")

    assert weight.dtype == torch.float32
    assert torch.equal(weight, state["model.diffusion_model.input_blocks.0.0.weight"].float())
