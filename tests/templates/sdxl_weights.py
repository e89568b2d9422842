"""Tiny checkpoints of SDXL: base, turbo and refiner, in the layout in which they are published."""

from __future__ import annotations

from typing import Any

from marquetry.engine.models.families.registry import family
from marquetry.engine.models.network import original_state
from tests.checkpoints import header_of
from tests.engine.models.families import test_sdxl
from tests.engine.models.families.tiny import clip_text, seeded, stirred
from tests.templates.numbers import State

LARGE = 128  # width of the refiner's only text encoder


def base() -> State:
    return test_sdxl.original(test_sdxl.pipeline())


def turbo() -> State:
    """In sixteen bits."""
    return {name: tensor.half() for name, tensor in base().items()}


def refiner() -> State:
    """One text encoder, five numbers beside the prompt, attention in the middle levels."""
    from diffusers import UNet2DConditionModel

    kind: Any = UNet2DConditionModel
    with seeded(21):
        unet = stirred(
            kind(
                **{**test_sdxl.UNET, "block_out_channels": (32, 64, 64), "attention_head_dim": (1, 1, 1)},
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
                up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                transformer_layers_per_block=(1, 2, 2), cross_attention_dim=LARGE, projection_class_embeddings_input_dim=LARGE + 5 * 256,
            )
        )  # fmt: skip
        words = clip_text(LARGE, 4, "gelu", projected=True, pad=0)
    states = {"unet": unet.state_dict(), "vae": test_sdxl.pipeline().vae.state_dict(), "text_encoder_2": words.state_dict()}
    names = {f"{part}.{name}": tensor for part, state in states.items() for name, tensor in state.items()}
    known = family("sdxl")
    found = known.recognise(header_of(names), {})
    assert found is not None
    made: State = {}
    for part, called in (("unet", "denoiser"), ("vae", "vae"), ("text_encoder_2", "clip_g")):
        state = {name.removeprefix("text_model."): tensor for name, tensor in states[part].items()}
        made |= original_state(known.original_table(found, called, state), state)
    return made
