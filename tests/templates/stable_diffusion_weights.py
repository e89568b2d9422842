"""Tiny files of Stable Diffusion 1 and 2 and what goes with them, in the layouts in which they are published."""

from __future__ import annotations

import torch

from marquetry.engine.models.families.registry import family
from marquetry.engine.models.stable_diffusion import sizes_of
from tests import checkpoints
from tests.engine.models.control import test_t2i_adapter
from tests.engine.models.control.tiny import net_of
from tests.engine.models.families.tiny import seeded
from tests.templates.numbers import State

VAE_PREFIX = "first_stage_model."
RANK = 4


def sd1() -> State:
    return checkpoints.original_checkpoint(checkpoints.networks("sd1"))


def sd2() -> State:
    return checkpoints.original_checkpoint(checkpoints.networks("sd2"))


def sd2_inpainting() -> State:
    return checkpoints.original_checkpoint(checkpoints.networks("sd2", in_channels=9))


def autoencoder() -> State:
    """By itself, without the prefix."""
    return {name.removeprefix(VAE_PREFIX): tensor for name, tensor in sd1().items() if name.startswith(VAE_PREFIX)}


def embedding() -> State:
    """Two words for SD 2, as A1111 keeps them."""
    with seeded(11):
        return {"emb_params": torch.randn(2, 128)}


def lora(seed: int = 12) -> State:
    """In kohya's names: every attention of the denoiser and of the text encoder."""
    made: State = {}
    networks = checkpoints.networks("sd1")
    with seeded(seed):
        for prefix, network in (("lora_unet", networks.unet), ("lora_te", networks.text_encoder)):
            for name, parameter in network.named_parameters():
                if parameter.ndim != 2 or not ("attn" in name or "mlp" in name):
                    continue
                bare = name.removesuffix(".weight")
                bare = bare if prefix == "lora_unet" or bare.startswith("text_model.") else f"text_model.{bare}"
                module = f"{prefix}_{bare.replace('.', '_')}"
                made[f"{module}.lora_down.weight"] = torch.randn(RANK, parameter.shape[1]) * 0.1
                made[f"{module}.lora_up.weight"] = torch.randn(parameter.shape[0], RANK) * 0.1
                made[f"{module}.alpha"] = torch.tensor(float(RANK))
    return made


def other_lora() -> State:
    return lora(13)


def control(seed: int = 14) -> State:
    """As the first ControlNets were published."""
    from marquetry.engine.training.controlnet_file import original_names

    unet = checkpoints.networks("sd1").unet
    found = family("sd1").recognise(checkpoints.header_of(unet.state_dict()), {})
    assert found is not None and found.denoiser is not None
    return original_names(net_of(unet, seed).state_dict(), sizes_of(found.denoiser))


def other_control() -> State:
    return control(15)


def t2i_adapter() -> State:
    return test_t2i_adapter.published("full_adapter")
