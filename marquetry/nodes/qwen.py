"""Qwen-Image's editing models: instructions whose text encoder sees the pictures, and guidance that keeps contrast."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.lazy import torch
from marquetry.engine.ports import Clip, Conditioning, Image, Model, Range, Text, Vae
from marquetry.engine.resize import resize
from marquetry.nodes.text_encode import NO_CLIP

if TYPE_CHECKING:
    from torch import Tensor

    from marquetry.engine.models.clip import Clip as LoadedClip

CATEGORY = "advanced/conditioning"
EDITED_PIXELS = 1024 * 1024
SEEN_PIXELS = 384 * 384
LATENT_PIXELS = 8
Instruction = Annotated[str, Text(multiline=True, dynamic_prompts=True)]


class Guided(NamedTuple):
    patched_model: Model


@node(id="TextEncodeQwenImageEdit", title="TextEncodeQwenImageEdit", category=CATEGORY, lane="device")
def encode_edit(clip: Clip, prompt: Instruction, vae: Vae | None = None, image: Image | None = None, *, context: Context) -> Conditioning:
    """An instruction for Qwen-Image-Edit: the text encoder sees the picture, and with a VAE the denoiser gets its latent to refer to."""
    if image is None:
        return _present(clip).encode_conditioning(prompt)
    picture = _of_area(image, EDITED_PIXELS, 1)
    from marquetry.engine.models.families.qwen_image import SEEN

    return _told(clip, SEEN + prompt, [picture], _latents(vae, [picture], context))


@node(id="TextEncodeQwenImageEditPlus", title="TextEncodeQwenImageEditPlus", category=CATEGORY, lane="device")
def encode_edit_plus(
    clip: Clip,
    prompt: Instruction,
    vae: Vae | None = None,
    image1: Image | None = None,
    image2: Image | None = None,
    image3: Image | None = None,
    *,
    context: Context,
) -> Conditioning:
    """An instruction about up to three pictures ("Picture 1", ...) for Qwen-Image-Edit-2509 and later, which refer to all of them."""
    numbered = [(number, image) for number, image in enumerate((image1, image2, image3), start=1) if image is not None]
    from marquetry.engine.models.families.qwen_image import SEEN

    marks = "".join(f"Picture {number}: {SEEN}" for number, _ in numbered)
    seen = [_of_area(image, SEEN_PIXELS, 1) for _, image in numbered]
    edited = [_of_area(image, EDITED_PIXELS, LATENT_PIXELS) for _, image in numbered] if vae is not None else []
    return _told(clip, marks + prompt, seen, _latents(vae, edited, context))


@node(id="CFGNorm", title="CFGNorm", category="advanced/guidance")
def cfg_norm(model: Model, strength: Annotated[float, Range(0.0, 100.0, step=0.01)] = 1.0) -> Guided:
    """Keeps guidance from making any place of the estimate longer, over its channels, than the positive prompt's is."""

    def limited(described: Mapping[str, Any]) -> Tensor:
        guided, positive = described["denoised"], described["cond_denoised"]
        wanted, made = (torch.linalg.vector_norm(each, dim=1, keepdim=True) for each in (positive, guided))
        scaled: Tensor = guided * (wanted / (made + 1e-8)).clamp(0.0, 1.0) * strength
        return scaled

    known = model.options.get("sampler_post_cfg_function", ())
    return Guided(model.with_options(sampler_post_cfg_function=(*known, limited)))


def _told(clip: Any, text: str, pictures: Sequence[Tensor], latents: Sequence[Tensor]) -> list[Any]:
    referred = {"reference_latents": list(latents)} if latents else {}
    from marquetry.engine.models.families.qwen_image import EDIT_TEMPLATE

    return _present(clip).encode_seeing(text, pictures, EDIT_TEMPLATE).conditioning(**referred)


def _present(clip: Any) -> LoadedClip:
    if clip is None:
        raise NodeFailed(NO_CLIP)
    found: LoadedClip = clip
    return found


def _latents(vae: Any, pictures: Sequence[Tensor], context: Context) -> list[Tensor]:
    return [] if vae is None else [vae.encode(picture, context.text) for picture in pictures]


def _of_area(image: Tensor, area: int, multiple: int) -> Tensor:
    """The first picture of `image` [B, H, W, C] with about that many pixels and sides that are multiples."""
    height, width = image.shape[1:3]
    scale = math.sqrt(area / (height * width))
    wide, high = (max(multiple, round(side * scale / multiple) * multiple) for side in (width, height))
    return resize(image[:1, ..., :3].movedim(-1, 1), wide, high, "area").movedim(1, -1)
