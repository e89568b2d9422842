"""Models that are told encoded pictures beside the prompt: Stable Diffusion 2.1 unCLIP, and SDXL (Revision)."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.ports import Clip, ClipVision, ClipVisionOutput, Conditioning, File, Model, Range, Tip, Vae

Noise = Annotated[float, Range(0.0, 1.0, step=0.01), Tip("How freely the picture is followed: noise on its encoding.")]


class UnclipLoaded(NamedTuple):
    MODEL: Model
    CLIP: Clip
    VAE: Vae
    CLIP_VISION: ClipVision


@node(id="unCLIPCheckpointLoader", title="unCLIPCheckpointLoader", category="loaders")
def load_unclip_checkpoint(ckpt_name: Annotated[str, File("checkpoints")], context: Context) -> UnclipLoaded:
    """Loads a checkpoint that holds an image encoder too, as Stable Diffusion 2.1 unCLIP does."""
    from marquetry.engine.models.vision import load_image_encoder

    encoder = load_image_encoder(context.models, ckpt_name, "checkpoints")
    return UnclipLoaded(*context.models.load_checkpoint(ckpt_name), encoder)


@node(id="unCLIPConditioning", title="unCLIPConditioning", category="conditioning")
def unclip_conditioning(
    conditioning: Conditioning,
    clip_vision_output: ClipVisionOutput,
    strength: Annotated[float, Range(-10.0, 10.0, step=0.01)] = 1.0,
    noise_augmentation: Noise = 0.0,
) -> Conditioning:
    """Tells a model an encoded picture beside each prompt. Several follow each other and are added up by their strengths."""
    if strength == 0:
        return conditioning
    entry = {"clip_vision_output": clip_vision_output, "strength": strength, "noise_augmentation": noise_augmentation}
    return [
        [embedding, {**known, "unclip_conditioning": [*known.get("unclip_conditioning", ()), entry]}] for embedding, known in conditioning
    ]
