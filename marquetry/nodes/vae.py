"""Pictures to latents and back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.lazy import functional, torch
from marquetry.engine.ports import Advanced, Image, Latent, Mask, Range, Tip, Vae
from marquetry.engine.usage import operation, same

if TYPE_CHECKING:
    from torch import Tensor

DecodeTileSize = Annotated[int, Range(64, 4096, step=32), Advanced]
EncodeTileSize = Annotated[int, Range(64, 4096, step=64), Advanced]
Overlap = Annotated[int, Range(0, 4096, step=32), Advanced]
TemporalSize = Annotated[int, Range(8, 4096, step=4), Tip("Frames at a time; for autoencoders of video."), Advanced]
TemporalOverlap = Annotated[int, Range(4, 4096, step=4), Tip("Frames that neighbours share; for autoencoders of video."), Advanced]


@node(id="VAEDecode", title="VAE Decode", category="latent", lane="device", extent=same("samples"))
def decode(samples: Latent, vae: Vae, context: Context) -> Image:
    """Pictures `[B, H, W, 3]` of latents. When memory is short, tiles are used, and the node says so."""
    pictures: Tensor = _present(vae).decode(_flat(samples["samples"]), context.text)
    return pictures


@node(id="VAEEncode", title="VAE Encode", category="latent", lane="device", extent=same("pixels"))
def encode(pixels: Image, vae: Vae, context: Context) -> Latent:
    """Latents of pictures, whose sides are cropped to multiples of 8. When memory is short, tiles are used, and the node says so."""
    return {"samples": _present(vae).encode(pixels, context.text)}


@node(id="VAEDecodeTiled", title="VAE Decode (Tiled)", category="_for_testing", lane="device", extent=same("samples"))
def decode_tiled(
    samples: Latent,
    vae: Vae,
    tile_size: DecodeTileSize = 512,
    overlap: Overlap = 64,
    temporal_size: TemporalSize = 64,
    temporal_overlap: TemporalOverlap = 8,
    *,
    context: Context,
) -> Image:
    """Pictures of latents, in tiles of `tile_size` pixels that fade into each other over `overlap` pixels."""
    ratio = _present(vae).downscale_ratio
    tile = tile_size // ratio
    pictures: Tensor = vae.decode_tiled(
        _flat(samples["samples"]), tile_x=tile, tile_y=tile, overlap=_overlap(tile_size, overlap) // ratio, progress=context.progress
    )
    return pictures


@node(id="VAEEncodeTiled", title="VAE Encode (Tiled)", category="_for_testing", lane="device", extent=same("pixels"))
def encode_tiled(
    pixels: Image,
    vae: Vae,
    tile_size: EncodeTileSize = 512,
    overlap: Overlap = 64,
    temporal_size: TemporalSize = 64,
    temporal_overlap: TemporalOverlap = 8,
    *,
    context: Context,
) -> Latent:
    """Latents of pictures, in tiles of `tile_size` pixels."""
    overlap = _overlap(tile_size, overlap)
    return {"samples": _present(vae).encode_tiled(pixels, tile_x=tile_size, tile_y=tile_size, overlap=overlap, progress=context.progress)}


@node(
    id="VAEEncodeForInpaint",
    title="VAE Encode (for Inpainting)",
    category="latent/inpaint",
    lane="device",
    usage=operation("inpaint.local"),
    extent=same("pixels"),
)
def encode_for_inpaint(
    pixels: Image, vae: Vae, mask: Mask, grow_mask_by: Annotated[int, Range(0, 64, step=1)] = 6, *, context: Context
) -> Latent:
    """Latents of pictures that are grey where `mask` is above one half, with that mask, grown by some pixels, as `noise_mask`."""
    cropped = _present(vae).crop(pixels)
    whole = functional.interpolate(
        mask.reshape(-1, 1, *mask.shape[-2:]).float(), size=tuple(pixels.shape[1:3]), mode="bilinear", align_corners=False
    )
    hidden = vae.crop(whole[:, 0]).round()  # [b, H, W] of 0 and 1
    grey = (cropped - 0.5) * (1.0 - hidden)[..., None] + 0.5
    return {"samples": vae.encode(grey, context.text), "noise_mask": _grown(hidden, grow_mask_by)[:, None]}


def _grown(mask: Tensor, pixels: int) -> Tensor:
    """A mask of 0 and 1 `[b, H, W]`, widened so that a dot becomes a square of that many pixels."""
    if pixels == 0:
        return mask
    kernel = torch.ones(1, 1, pixels, pixels)
    padding = math.ceil((pixels - 1) / 2)
    grown: Tensor = functional.conv2d(mask[:, None], kernel, padding=padding).clamp(0.0, 1.0).round()
    return grown[:, 0, : mask.shape[1], : mask.shape[2]]


def _overlap(tile_size: int, overlap: int) -> int:
    return tile_size // 4 if tile_size < overlap * 4 else overlap


def _flat(latent: Tensor) -> Tensor:
    """Latents of frames `[B, C, T, h, w]` as a batch; latents of pictures as they are."""
    return latent.movedim(2, 1).flatten(0, 1) if latent.ndim == 5 else latent


def _present(vae: Any) -> Any:
    if vae is None:
        raise NodeFailed("there is no VAE: the checkpoint holds none; load one with VAELoader")
    return vae
