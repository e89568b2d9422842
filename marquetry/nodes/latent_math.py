"""Arithmetic on latents, value by value. A second latent is resized and repeated to fit the first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from marquetry.engine.declare import node
from marquetry.engine.lazy import torch
from marquetry.engine.ports import Latent, Range
from marquetry.engine.resize import resize
from marquetry.nodes.latent_batch import sized
from marquetry.nodes.mask import repeated

if TYPE_CHECKING:
    from torch import Tensor

Fraction = Annotated[float, Range(0.0, 1.0, step=0.01)]


@node(id="LatentAdd", title="LatentAdd", category="latent/advanced", aliases=("sum",))
def add(samples1: Latent, samples2: Latent) -> Latent:
    """The sum of two latents."""
    first: Tensor = samples1["samples"]
    return samples1 | {"samples": first + fitted(samples2["samples"], first)}


@node(id="LatentSubtract", title="LatentSubtract", category="latent/advanced", aliases=("difference",))
def subtract(samples1: Latent, samples2: Latent) -> Latent:
    """The first latent less the second."""
    first: Tensor = samples1["samples"]
    return samples1 | {"samples": first - fitted(samples2["samples"], first)}


@node(id="LatentMultiply", title="LatentMultiply", category="latent/advanced", aliases=("scale", "gain"))
def multiply(samples: Latent, multiplier: Annotated[float, Range(-10.0, 10.0, step=0.01)] = 1.0) -> Latent:
    """A latent times a number."""
    return samples | {"samples": samples["samples"] * multiplier}


@node(id="LatentInterpolate", title="LatentInterpolate", category="latent/advanced", aliases=("mix", "transition"))
def interpolate(samples1: Latent, samples2: Latent, ratio: Fraction = 1.0) -> Latent:
    """Between two latents: directions and lengths of the channel vectors are mixed apart, so that contrast stays. 1 is the first latent."""
    first: Tensor = samples1["samples"]
    second = fitted(samples2["samples"], first)
    lengths = [torch.linalg.vector_norm(each, dim=1, keepdim=True) for each in (first, second)]
    direction = torch.nan_to_num(first / lengths[0]) * ratio + torch.nan_to_num(second / lengths[1]) * (1.0 - ratio)
    unit = torch.nan_to_num(direction / torch.linalg.vector_norm(direction, dim=1, keepdim=True))
    return samples1 | {"samples": unit * (lengths[0] * ratio + lengths[1] * (1.0 - ratio))}


@node(id="LatentBlend", title="Latent Blend", category="_for_testing", aliases=("mix",))
def blend(samples1: Latent, samples2: Latent, blend_factor: Fraction = 0.5) -> Latent:
    """A weighted mean of two latents; `blend_factor` is the share of the first."""
    first, second = samples1["samples"], samples2["samples"]
    if first.shape != second.shape:
        second = resize(second, first.shape[-1], first.shape[-2], "bicubic", "center")
    return samples1 | {"samples": first * blend_factor + second * (1.0 - blend_factor)}


def fitted(tensor: Tensor, like: Tensor) -> Tensor:
    """`tensor` at the size of `like`, repeated or cut to its batch."""
    return repeated(sized(tensor, like), len(like))
