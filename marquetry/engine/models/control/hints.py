"""Hints: the pictures that steer, at the size of the latent, as pixels or as latents."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from marquetry.engine.errors import NodeFailed
from marquetry.engine.lazy import torch
from marquetry.engine.models.transformer_family import padded_to
from marquetry.engine.resize import resize
from marquetry.engine.sampling.latent_format import LatentFormat

if TYPE_CHECKING:
    from torch import Tensor

    from marquetry.engine.models.control.control_net import AppliedControl

PATCH = 2


def pixels(applied: AppliedControl, size: tuple[int, int], ratio: int, channels: int = 3) -> Tensor:
    """The picture as `[B, channels, h * ratio, w * ratio]`: cropped around the middle to the proportions, no values made anew."""
    picture = applied.image.float()
    picture = picture[..., :3] if picture.shape[-1] >= 3 else picture[..., :1]
    if channels == 1:
        picture = picture.mean(dim=-1, keepdim=True)
    elif picture.shape[-1] == 1:
        picture = picture.expand(*picture.shape[:-1], channels)
    height, width = size[0] * ratio, size[1] * ratio
    samples = picture.movedim(-1, 1)
    return samples if tuple(samples.shape[-2:]) == (height, width) else resize(samples, width, height, "nearest-exact", "center")


def latents(
    applied: AppliedControl,
    size: tuple[int, int],
    latent_format: LatentFormat,
    change: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """The picture's latent as the denoiser sees latents, `[B, C, h, w]` with even sides. `change` is made to the pixels in 0..1.

    Raises NodeFailed where no autoencoder was given.
    """
    if applied.vae is None:
        raise NodeFailed(f"{applied.net.name} reads pictures as latents: connect a VAE to the node that applies it")
    picture = pixels(applied, size, latent_format.spatial_ratio).movedim(1, -1)
    encoded = applied.vae.encode(picture if change is None else change(picture))
    if encoded.ndim == 5:  # an autoencoder of films
        encoded = encoded[:, :, 0]
    if encoded.shape[1] != latent_format.channels or tuple(encoded.shape[-2:]) != size:
        got, wanted = list(encoded.shape[1:]), [latent_format.channels, *size]
        raise NodeFailed(f"the VAE makes latents of {got} for {applied.net.name} where {wanted} are needed: it belongs to another model")
    return padded_to(latent_format.process_in(encoded), PATCH)


def kept(applied: AppliedControl, size: tuple[int, int]) -> Tensor:
    """What an inpainting ControlNet is to keep, `[B, 1, h, w]` with even sides; all of it where nothing was said."""
    if applied.keep is None:
        return padded_to(torch.ones(1, 1, *size), PATCH)
    mask = applied.keep.reshape(-1, 1, *applied.keep.shape[-2:]).float()
    return padded_to(resize(mask, size[1], size[0], "nearest-exact", "center"), PATCH)


def with_kept(picture: Tensor, applied: AppliedControl, size: tuple[int, int]) -> Tensor:
    """A picture's latent, and in a channel behind it what is to be kept, `[B, C + 1, h, w]`."""
    keep = kept(applied, size).to(picture)
    length = max(len(picture), len(keep))
    return torch.cat([each.expand(length, -1, -1, -1) for each in (picture, keep)], dim=1)


def repeated_over(samples: list[Tensor], count: int) -> list[Tensor]:
    """Samples of a short network for the `count` blocks of a long one: each serves a stretch of neighbours."""
    stretch = -(-count // len(samples))
    return [samples[block // stretch] for block in range(count)]
