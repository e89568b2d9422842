"""Tiny files of Flux.1 and of what shares parts with it: denoisers of every sort, checkpoints, text encoders, autoencoder and LoRAs, as they are published."""

from __future__ import annotations

import functools
from typing import Any

import torch

from marquetry.engine.models.families.registry import family
from marquetry.engine.models.network import original_state
from tests.checkpoints import header_of
from tests.engine.models.families import test_chroma, test_flux, test_lumina2
from tests.engine.models.families.tiny import seeded
from tests.templates import picture_weights
from tests.templates.numbers import State, eighths, scaled_eighths

DENOISER, TEXT, VAE = "model.diffusion_model.", "text_encoders.", "vae."
FILL_CHANNELS, CANNY_CHANNELS = 384, 128
RANK = 4


@functools.cache
def parts() -> dict[str, Any]:
    """Autoencoder and text encoders."""
    with seeded(30):
        return test_flux.parts()


def dev(channels: int = 64, *, guided: bool = True) -> State:
    with seeded(31):
        return test_flux.published(test_flux.transformer(channels, guided=guided))


def dev_eighths() -> State:
    return eighths(dev())


def dev_scaled() -> State:
    return scaled_eighths(dev())


def schnell() -> State:
    return dev(guided=False)


def fill() -> State:
    return dev(FILL_CHANNELS)


def fill_eighths() -> State:
    return eighths(fill())


def canny() -> State:
    return dev(CANNY_CHANNELS)


def clip_l() -> State:
    state = parts()["text_encoder"].state_dict()
    return {name if name.startswith("text_model.") else f"text_model.{name}": tensor for name, tensor in state.items()}


def t5xxl() -> State:
    state = parts()["text_encoder_2"].state_dict()
    return {name: tensor.half() for name, tensor in state.items() if name != "encoder.embed_tokens.weight"}


def t5xxl_scaled() -> State:
    return scaled_eighths(t5xxl())


def autoencoder() -> State:
    """In the layout of the first autoencoders, without a prefix."""
    state = parts()["vae"].state_dict()
    known = family("sd3")
    found = known.recognise(header_of({f"vae.{name}": tensor for name, tensor in state.items()}), {})
    assert found is not None
    made = original_state(known.original_table(found, "vae", state), state)
    return {name.removeprefix("first_stage_model."): tensor for name, tensor in made.items()}


def _checkpoint(denoiser: State) -> State:
    """All in one file, as it is repackaged: the denoiser in eight bits."""
    made = {f"{DENOISER}{name}": tensor for name, tensor in eighths(denoiser).items()}
    made |= {f"{TEXT}clip_l.transformer.{name}": tensor.half() for name, tensor in clip_l().items()}
    made |= {f"{TEXT}t5xxl.transformer.{name}": tensor for name, tensor in eighths(t5xxl()).items()}
    return made | {f"{VAE}{name}": tensor for name, tensor in autoencoder().items()}


def dev_checkpoint() -> State:
    return _checkpoint(dev())


def schnell_checkpoint() -> State:
    return _checkpoint(schnell())


def _factors(module: str, rows: int, columns: int) -> State:
    return {f"{module}.lora_A.weight": torch.randn(RANK, columns) * 0.1, f"{module}.lora_B.weight": torch.randn(rows, RANK) * 0.1}


def lora() -> State:
    """In diffusers' names: the attention of every block."""
    made: State = {}
    with seeded(32):
        for name, parameter in test_flux.transformer().named_parameters():
            if parameter.ndim == 2 and ".attn." in name:
                made |= _factors(f"transformer.{name.removesuffix('.weight')}", *parameter.shape)
    return made


def depth_lora() -> State:
    """In the original names, as Black Forest Labs published it: matrices, and the reader of pictures grown to twice its channels."""
    made: State = {}
    with seeded(33):
        for name, tensor in dev(CANNY_CHANNELS).items():
            if tensor.ndim == 2 and name.endswith(".weight"):
                module = name.removesuffix(".weight")
                made |= _factors(module, *tensor.shape)
                made[f"{module}.lora_B.bias"] = torch.zeros(tensor.shape[0])
    return made


def chroma() -> State:
    """Chroma, which stands on Flux, in eight bits with scales."""
    return scaled_eighths(test_chroma.published(test_chroma.pipeline().transformer))


def lumina2() -> State:
    """Lumina 2 in one file, with Flux's autoencoder."""
    return test_lumina2.checkpoint() | {f"{VAE}{name}": tensor for name, tensor in autoencoder().items()}


def redux() -> State:
    """Two layers that turn what SigLIP sees into words."""
    seen, words = picture_weights.SIGLIP_WIDTH, test_flux.WIDTH
    with seeded(34):
        return {
            "redux_up.weight": torch.randn(3 * words, seen) * 0.1,
            "redux_up.bias": torch.randn(3 * words) * 0.1,
            "redux_down.weight": torch.randn(words, 3 * words) * 0.1,
            "redux_down.bias": torch.randn(words) * 0.1,
        }
