"""Encoded prompts: combining, mixing, and where, how strongly and when each of them counts. Inputs are never changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.lazy import functional, torch
from marquetry.engine.pictures import MAX_RESOLUTION
from marquetry.engine.ports import Conditioning, Image, Latent, Mask, Range, Tip, Vae
from marquetry.engine.usage import operation, same

if TYPE_CHECKING:
    from torch import Tensor

PIXELS_PER_LATENT = 8
Side = Annotated[int, Range(64, MAX_RESOLUTION, step=8)]
Place = Annotated[int, Range(0, MAX_RESOLUTION, step=8)]
Fraction = Annotated[float, Range(0.0, 1.0, step=0.01)]
Moment = Annotated[float, Range(0.0, 1.0, step=0.001), Tip("Of the way from pure noise (0) to the finished picture (1).")]
Strength = Annotated[float, Range(0.0, 10.0, step=0.01)]
ZEROED = ("pooled_output", "conditioning_lyrics", "conditioning_scale", "direct_context")


class InpaintConditioning(NamedTuple):
    positive: Conditioning
    negative: Conditioning
    latent: Latent


@node(id="ConditioningCombine", title="Conditioning (Combine)", category="conditioning", aliases=("combine prompts", "merge prompts"))
def combine(conditioning_1: Conditioning, conditioning_2: Conditioning) -> Conditioning:
    """Both prompts: the model is asked about each, and the answers are averaged where they overlap."""
    return [*conditioning_1, *conditioning_2]


@node(id="ConditioningConcat", title="Conditioning (Concat)", category="conditioning")
def concat(conditioning_to: Conditioning, conditioning_from: Conditioning, context: Context) -> Conditioning:
    """The tokens of the first prompt of `conditioning_from` behind those of each prompt of `conditioning_to`."""
    tokens = _first(conditioning_from, context)[0]
    return [[torch.cat((embedding, _repeated(tokens, embedding)), dim=1), dict(options)] for embedding, options in conditioning_to]


@node(id="ConditioningAverage", title="ConditioningAverage", category="conditioning", aliases=("mix prompts", "blend prompts"))
def average(
    conditioning_to: Conditioning, conditioning_from: Conditioning, conditioning_to_strength: Fraction = 1.0, *, context: Context
) -> Conditioning:
    """A weighted mean of embeddings: each of `conditioning_to` with the first of `conditioning_from`, cut or filled with zeros to its length.

    Where only one of both has a pooled output, that one counts.
    """
    tokens, other = _first(conditioning_from, context)
    pooled_from = other.get("pooled_output")
    share = conditioning_to_strength
    averaged: list[Any] = []
    for embedding, options in conditioning_to:
        length = embedding.shape[1]
        fitted = functional.pad(tokens[:, :length], (0, 0, 0, max(0, length - tokens.shape[1])))
        mixed = dict(options)
        if pooled_from is not None:
            pooled = options.get("pooled_output")
            mixed["pooled_output"] = pooled_from if pooled is None else pooled * share + pooled_from * (1.0 - share)
        averaged.append([embedding * share + fitted * (1.0 - share), mixed])
    return averaged


@node(id="ConditioningSetArea", title="Conditioning (Set Area)", category="conditioning", aliases=("regional prompt",))
def set_area(
    conditioning: Conditioning, width: Side = 64, height: Side = 64, x: Place = 0, y: Place = 0, strength: Strength = 1.0
) -> Conditioning:
    """Lets a prompt count in a rectangle only, given in pixels."""
    area = tuple(length // PIXELS_PER_LATENT for length in (height, width, y, x))
    return with_options(conditioning, area=area, strength=strength, set_area_to_bounds=False)


@node(id="ConditioningSetAreaPercentage", title="Conditioning (Set Area with Percentage)", category="conditioning")
def set_area_percentage(
    conditioning: Conditioning, width: Fraction = 1.0, height: Fraction = 1.0, x: Fraction = 0, y: Fraction = 0, strength: Strength = 1.0
) -> Conditioning:
    """Lets a prompt count in a rectangle only, given in parts of the picture's sides."""
    return with_options(conditioning, area=("percentage", height, width, y, x), strength=strength, set_area_to_bounds=False)


@node(id="ConditioningSetAreaStrength", title="ConditioningSetAreaStrength", category="conditioning")
def set_area_strength(conditioning: Conditioning, strength: Strength = 1.0) -> Conditioning:
    """How strongly a prompt counts beside others."""
    return with_options(conditioning, strength=strength)


@node(id="ConditioningSetMask", title="Conditioning (Set Mask)", category="conditioning", aliases=("regional prompt", "masked prompt"))
def set_mask(
    conditioning: Conditioning, mask: Mask, strength: Strength = 1.0, *, set_cond_area: Literal["default", "mask bounds"]
) -> Conditioning:
    """Lets a prompt count as far as a mask says. With "mask bounds" the model sees only the rectangle around the mask."""
    whole = mask[None] if mask.ndim < 3 else mask
    return with_options(conditioning, mask=whole, set_area_to_bounds=set_cond_area != "default", mask_strength=strength)


@node(id="ConditioningSetTimestepRange", title="ConditioningSetTimestepRange", category="advanced/conditioning")
def set_timestep_range(conditioning: Conditioning, start: Moment = 0.0, end: Moment = 1.0) -> Conditioning:
    """Lets a prompt count during a part of the sampling only."""
    return with_options(conditioning, start_percent=start, end_percent=end)


@node(id="ConditioningZeroOut", title="ConditioningZeroOut", category="advanced/conditioning", aliases=("empty prompt",))
def zero_out(conditioning: Conditioning) -> Conditioning:
    """The prompt with zeros in place of every number that encodes it."""
    return _scaled(conditioning, torch.zeros_like, ZEROED)


@node(id="ConditioningMultiply", title="ConditioningMultiply", category="advanced/conditioning", aliases=("scale prompt",))
def multiply(conditioning: Conditioning, multiplier: Annotated[float, Range(-100.0, 100.0, step=0.01)] = 1.0) -> Conditioning:
    """The prompt with embedding and pooled output times `multiplier`."""
    return _scaled(conditioning, lambda values: values * multiplier, ZEROED[:1])


@node(
    id="InpaintModelConditioning",
    title="InpaintModelConditioning",
    category="conditioning/inpaint",
    lane="device",
    usage=operation("inpaint.local"),
    extent=same("pixels"),
)
def inpaint_conditioning(
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    pixels: Image,
    mask: Mask,
    noise_mask: Annotated[bool, Tip("Sample inside the mask only, also with models that are not made for inpainting.")] = True,
    *,
    context: Context,
) -> InpaintConditioning:
    """What inpainting models need: the picture, grey where `mask` is above one half, and the mask, with both prompts.

    The latent is that of the whole picture. Sides are cropped to multiples of 8 around the middle.
    """
    if vae is None:
        raise NodeFailed("there is no VAE: the checkpoint holds none; load one with VAELoader")
    whole: Tensor = functional.interpolate(mask.reshape(-1, 1, *mask.shape[-2:]).float(), size=tuple(pixels.shape[1:3]), mode="bilinear")
    inside = vae.crop(whole[:, 0])  # [b, H, W]
    grey = (vae.crop(pixels)[..., :3] - 0.5) * (1.0 - inside.round())[..., None] + 0.5
    seen: dict[str, Any] = {"concat_latent_image": vae.encode(grey, context.text), "concat_mask": inside[:, None]}
    latent: dict[str, Any] = {"samples": vae.encode(pixels, context.text)}
    if noise_mask:
        latent["noise_mask"] = inside[:, None]
    return InpaintConditioning(with_options(positive, **seen), with_options(negative, **seen), latent)


def with_options(conditioning: list[Any], **options: Any) -> list[Any]:
    """A copy with these options on every prompt in it; embeddings are shared."""
    return [[embedding, {**known, **options}] for embedding, known in conditioning]


def _scaled(conditioning: list[Any], change: Callable[[Tensor], Tensor], names: tuple[str, ...]) -> list[Any]:
    changed: list[Any] = []
    for embedding, options in conditioning:
        values = {name: change(options[name]) for name in names if options.get(name) is not None}
        changed.append([change(embedding), {**options, **values}])
    return changed


def _first(conditioning: list[Any], context: Context) -> tuple[Tensor, dict[str, Any]]:
    if not conditioning:
        raise NodeFailed("conditioning_from holds no prompt")
    if len(conditioning) > 1:
        context.text(f"conditioning_from holds {len(conditioning)} prompts; only the first is used")
    return conditioning[0][0], conditioning[0][1]


def _repeated(tokens: Tensor, like: Tensor) -> Tensor:
    """`tokens` `[1 or B, T, D]` for the batch of `like`."""
    return tokens.expand(like.shape[0], -1, -1) if tokens.shape[0] == 1 else tokens
