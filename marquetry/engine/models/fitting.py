"""Fitting: conditioning brought to the size of a latent and the length of its batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from marquetry.engine.lazy import functional, torch

if TYPE_CHECKING:
    from torch import Tensor

    from marquetry.engine.models.model import Model

GREY_LATENT = (0.8223, -0.6876, 0.6364, 0.1380)  # a mid-grey picture in SD1's scaled latent space


def fit(latent: Tensor, size: tuple[int, ...], batch: int) -> Tensor:
    """`latent` [B, C, h, w] at another size, bilinear, for `batch` pictures."""
    latent = latent.float()
    if tuple(latent.shape[-2:]) != size:
        latent = functional.interpolate(latent, size=size, mode="bilinear", align_corners=False)
    return repeated(latent, batch)


def repeated(tensor: Tensor, batch: int) -> Tensor:
    """The first `batch` entries, repeated in order where there are too few."""
    if tensor.shape[0] == batch:
        return tensor
    repeats = -(-batch // tensor.shape[0])
    return tensor.repeat(repeats, *(1,) * (tensor.ndim - 1))[:batch]


def edited_picture(extras: Mapping[str, Any], channels: int, size: tuple[int, ...], batch: int) -> Tensor:
    """The latent of the picture to edit, as instruct-pix2pix takes it (Brooks et al. 2023); zeros where there is none."""
    latent = extras.get("concat_latent_image")
    return torch.zeros(batch, channels, *size) if latent is None else fit(latent, size, batch)


def masked_picture(model: Model, extras: Mapping[str, Any], size: tuple[int, ...], batch: int) -> tuple[Tensor, Tensor]:
    """A mask `[B, 1, h, w]`, 1 where to paint, and the latent of the picture with a grey hole, as inpainting models take them."""
    latent = extras.get("concat_latent_image")
    latent = extras.get("latent_image") if latent is None else model.latent_format.process_in(latent)
    mask = extras.get("concat_mask")
    mask = extras.get("denoise_mask") if mask is None else mask
    if mask is None:
        mask, latent = torch.ones(batch, 1, *size), None
    if latent is None:
        latent = torch.tensor(GREY_LATENT).reshape(1, -1, 1, 1).expand(batch, -1, *size)
    mask = mask[:, :1] if mask.ndim == 4 else mask.reshape(-1, 1, *mask.shape[-2:])
    return fit(mask, size, batch).round(), fit(latent, size, batch).to(mask.device)
