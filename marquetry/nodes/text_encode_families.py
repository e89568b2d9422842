"""Prompts for families that read several text encoders, or are told sizes beside the words."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.pictures import MAX_RESOLUTION
from marquetry.engine.ports import Clip, Conditioning, Range, Text, Tip
from marquetry.nodes.text_encode import NO_CLIP

if TYPE_CHECKING:
    from marquetry.engine.models.clip import EncodedPrompt

FAMILIES = "advanced/conditioning"
Prompt = Annotated[str, Text(multiline=True, dynamic_prompts=True)]
Pixels = Annotated[int, Range(0, MAX_RESOLUTION)]
Guidance = Annotated[
    float, Range(0.0, 100.0, step=0.1), Tip("How closely to follow the prompt; models that were distilled take it as an input.")
]
Tokens = Annotated[int, Range(0, 10_000)]


@node(id="CLIPTextEncodeSDXL", title="CLIPTextEncodeSDXL", category=FAMILIES, lane="device")
def encode_sdxl(
    clip: Clip,
    width: Pixels = 1024,
    height: Pixels = 1024,
    crop_w: Pixels = 0,
    crop_h: Pixels = 0,
    target_width: Pixels = 1024,
    target_height: Pixels = 1024,
    *,
    text_g: Prompt,
    text_l: Prompt,
    context: Context,
) -> Conditioning:
    """A prompt for each of SDXL's encoders, and what it is told beside them: the size and the crop of the picture it should think of."""
    encoded = _encoded(clip, context, text_g, clip_l=text_l)
    return encoded.conditioning(
        width=width, height=height, crop_w=crop_w, crop_h=crop_h, target_width=target_width, target_height=target_height
    )


@node(id="CLIPTextEncodeSDXLRefiner", title="CLIPTextEncodeSDXLRefiner", category=FAMILIES, lane="device")
def encode_sdxl_refiner(
    ascore: Annotated[float, Range(0.0, 1000.0, step=0.01), Tip("How beautiful the picture should be, from 0 to 10.")] = 6.0,
    width: Pixels = 1024,
    height: Pixels = 1024,
    *,
    text: Prompt,
    clip: Clip,
    context: Context,
) -> Conditioning:
    """A prompt for SDXL's refiner, with a score of beauty and the size of the picture."""
    return _encoded(clip, context, text).conditioning(aesthetic_score=ascore, width=width, height=height)


@node(id="CLIPTextEncodeSD3", title="CLIPTextEncodeSD3", category=FAMILIES, lane="device")
def encode_sd3(
    clip: Clip, clip_l: Prompt, clip_g: Prompt, t5xxl: Prompt, empty_padding: Literal["none", "empty_prompt"], context: Context
) -> Conditioning:
    """A prompt for each of Stable Diffusion 3's encoders. With `none`, an encoder with an empty prompt says nothing at all."""
    if clip is None:
        raise NodeFailed(NO_CLIP)
    texts = {"clip_l": clip_l, "clip_g": clip_g, "t5xxl": t5xxl}
    tokens = clip.tokenize("", **{role: text for role, text in texts.items() if role in clip.encoders})
    if empty_padding == "none":
        spoken = {role: prompt for role, prompt in tokens.items() if texts[role]}
        tokens = spoken or tokens
    return _told(clip.encode_tokens(tokens), context).conditioning()


@node(id="CLIPTextEncodeFlux", title="CLIPTextEncodeFlux", category="advanced/conditioning/flux", lane="device")
def encode_flux(clip: Clip, clip_l: Prompt, t5xxl: Prompt, guidance: Guidance = 3.5, *, context: Context) -> Conditioning:
    """A prompt for each of Flux's encoders, and its guidance."""
    return _encoded(clip, context, t5xxl, clip_l=clip_l).conditioning(guidance=guidance)


@node(id="T5TokenizerOptions", title="T5TokenizerOptions", category="_for_testing/conditioning")
def t5_tokenizer_options(clip: Clip, min_padding: Tokens = 0, min_length: Tokens = 0) -> Clip:
    """How far prompts for T5 are filled up: to `min_length` tokens, at least by `min_padding`. 0 leaves what the family does."""
    if clip is None:
        raise NodeFailed(NO_CLIP)
    encoders = dict(clip.encoders)
    for role, encoder in encoders.items():
        if encoder.part.kind in ("t5", "umt5"):
            part = replace(encoder.part, min_tokens=min_length or encoder.part.min_tokens, padding=min_padding)
            encoders[role] = replace(encoder, part=part)
    return replace(clip, encoders=encoders)


def _encoded(clip: Any, context: Context, text: str, **texts: str) -> EncodedPrompt:
    if clip is None:
        raise NodeFailed(NO_CLIP)
    return _told(clip.encode(text, **{role: words for role, words in texts.items() if role in clip.encoders}), context)


def _told(encoded: EncodedPrompt, context: Context) -> EncodedPrompt:
    if encoded.missing:
        context.text(f"Left out, since no file among the embeddings fits: {', '.join(encoded.missing)}")
    return encoded
