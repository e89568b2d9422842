"""Editing by instruction: models that see the picture beside the latent."""

from __future__ import annotations

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.lazy import torch
from marquetry.engine.ports import Conditioning, Image, Vae
from marquetry.engine.usage import same
from marquetry.nodes.conditioning import InpaintConditioning, with_options


@node(
    id="InstructPixToPixConditioning",
    title="InstructPixToPixConditioning",
    category="conditioning/instructpix2pix",
    lane="device",
    extent=same("pixels"),
)
def instruct_conditioning(positive: Conditioning, negative: Conditioning, vae: Vae, pixels: Image, context: Context) -> InpaintConditioning:
    """Shows the picture to both prompts, for models that take it beside the latent (Brooks et al. 2023; Flux canny and depth).

    The latent is empty and of the picture's size; sides are cropped to multiples of 8 around the middle.
    """
    if vae is None:
        raise NodeFailed("there is no VAE: the checkpoint holds none; load one with VAELoader")
    seen = vae.encode(pixels, context.text)
    shown = {"concat_latent_image": seen}
    return InpaintConditioning(with_options(positive, **shown), with_options(negative, **shown), {"samples": torch.zeros_like(seen)})
