"""Vae: what travels as VAE: an autoencoder between pictures and latents, whole or in tiles, within the memory there is."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from marquetry.engine.errors import OutOfMemory
from marquetry.engine.lazy import torch
from marquetry.engine.models.autoencoders.kinds import Autoencoder, autoencoder_kind
from marquetry.engine.models.families.family import Found
from marquetry.engine.models.tiling import map_tiles

if TYPE_CHECKING:
    from torch import Tensor, device, dtype

    from marquetry.engine.models.residency import Resident

logger = logging.getLogger(__name__)
PICTURE_CHANNELS = 3
FALLBACK_TILE = 512  # pixels
FALLBACK_OVERLAP = 64
LIVE_ACTIVATIONS = 6  # full-size feature maps that exist at once, roughly, at the widest place
WORKSPACE_BYTES = 4 * 2**30  # activations of one slice of a batch

Notice = Callable[[str], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Vae:
    """An autoencoder. Latents are as it makes them, not scaled; `relieve` lets go of what is idle on the device."""

    resident: Resident[Any]
    found: Found = field(repr=False)  # what its file holds
    family: str
    device: device
    dtype: dtype
    relieve: Callable[[], object] = field(repr=False)
    fingerprint: str = ""
    workspace_bytes: int = WORKSPACE_BYTES

    @property
    def config(self) -> Mapping[str, Any]:
        """The arguments that the network was built with."""
        assert self.found.vae is not None
        return self.found.vae.config

    @property
    def kind(self) -> Autoencoder:
        """How its network is spoken to."""
        assert self.found.vae is not None
        return autoencoder_kind(self.found.vae.architecture)

    @property
    def downscale_ratio(self) -> int:
        """Pixels per latent element along a side."""
        return self.kind.ratio(self.config)

    @property
    def latent_channels(self) -> int:
        return self.kind.channels(self.config)

    def clone(self) -> Self:
        """A shallow copy."""
        return copy.copy(self)

    @contextmanager
    def loaded(self) -> Iterator[None]:
        """Keeps the weights on the device while the block runs."""
        with self.resident.use():
            yield

    def crop(self, pixels: Tensor) -> Tensor:
        """The middle of pictures `[B, H, W, C]` or masks `[B, H, W]` whose sides are multiples of the ratio."""
        ratio = self.downscale_ratio
        height, width = (side // ratio * ratio for side in pixels.shape[1:3])
        top, left = (side % ratio // 2 for side in pixels.shape[1:3])
        return pixels[:, top : top + height, left : left + width]

    def encode(self, pixels: Tensor, notice: Notice | None = None) -> Tensor:
        """Latents `[B, c, H/8, W/8]`, float32 on the CPU, of pictures `[B, H, W, C]` in 0..1: the mean, no sample.

        Sides are cropped to multiples of the ratio. Out of memory, tiles are tried, and `notice` is told.
        """
        x = self._signed(pixels)
        try:
            return self._sliced(self._encode, x, x.shape[-2] * x.shape[-1])
        except Exception as error:
            self._after_shortage(error, "encoding", notice)
        return self.encode_tiled(pixels)

    def decode(self, latent: Tensor, notice: Notice | None = None) -> Tensor:
        """Pictures `[B, H, W, 3]` in 0..1, float32 on the CPU, of latents `[B, c, h, w]`. Out of memory as in `encode`."""
        area = latent.shape[-2] * latent.shape[-1] * self.downscale_ratio**2
        try:
            return _unsigned(self._sliced(self._decode, latent, area))
        except Exception as error:
            self._after_shortage(error, "decoding", notice)
        return self.decode_tiled(latent)

    def encode_tiled(
        self, pixels: Tensor, tile_x: int = FALLBACK_TILE, tile_y: int = FALLBACK_TILE, overlap: int = FALLBACK_OVERLAP,
        progress: Progress | None = None,
    ) -> Tensor:  # fmt: skip
        """As `encode`, in tiles of that many pixels."""
        ratio = self.downscale_ratio
        with self.resident.use():
            return map_tiles(
                self._encode,
                self._signed(pixels),
                tile_height=_multiple(tile_y, ratio),
                tile_width=_multiple(tile_x, ratio),
                overlap=overlap // ratio * ratio,
                scale=(1, ratio),
                progress=progress,
            )

    def decode_tiled(
        self, latent: Tensor, tile_x: int | None = None, tile_y: int | None = None, overlap: int | None = None,
        progress: Progress | None = None,
    ) -> Tensor:  # fmt: skip
        """As `decode`, in tiles of that many latent elements."""
        ratio = self.downscale_ratio
        with self.resident.use():
            decoded = map_tiles(
                self._decode,
                latent,
                tile_height=tile_y or FALLBACK_TILE // ratio,
                tile_width=tile_x or FALLBACK_TILE // ratio,
                overlap=FALLBACK_OVERLAP // ratio if overlap is None else overlap,
                scale=(ratio, 1),
                progress=progress,
            )
        return _unsigned(decoded)

    def slice_size(self, area: int) -> int:
        """How many pictures of that many pixels are worked on at once."""
        widest = self.kind.widest(self.config)
        element = torch.empty(0, dtype=self.dtype).element_size()
        return max(1, int(self.workspace_bytes // max(1, area * widest * element * LIVE_ACTIVATIONS)))

    def _sliced(self, function: Callable[[Tensor], Tensor], x: Tensor, area: int) -> Tensor:
        size = self.slice_size(area)
        with self.resident.use():
            return torch.cat([function(x[start : start + size]).float().cpu() for start in range(0, x.shape[0], size)])

    def _encode(self, x: Tensor) -> Tensor:
        with self.resident.use() as network, torch.inference_mode():
            mean = self.kind.encode(network, x.to(self.device, self.dtype))
        return mean.clone()

    def _decode(self, latent: Tensor) -> Tensor:
        with self.resident.use() as network, torch.inference_mode():
            picture = self.kind.decode(network, latent.to(self.device, self.dtype))
        return picture.clone()

    def _signed(self, pixels: Tensor) -> Tensor:
        """`[B, H, W, C]` in 0..1 as `[B, 3, H, W]` in -1..1, cropped."""
        channels = self.crop(pixels)[..., :PICTURE_CHANNELS].movedim(-1, 1)
        if channels.shape[1] == 1:
            channels = channels.expand(-1, PICTURE_CHANNELS, -1, -1)
        return channels * 2.0 - 1.0

    def _after_shortage(self, error: Exception, what: str, notice: Notice | None) -> None:
        """Makes room after a lack of memory for activations; raises any other error again."""
        if isinstance(error, OutOfMemory) or not is_out_of_memory(error):
            raise error
        message = f"Not enough memory for {what} whole pictures on {self.device}; continuing in tiles of {FALLBACK_TILE} pixels."
        logger.warning(message)
        if notice is not None:
            notice(message)
        self.relieve()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the machine, had too little memory for what was asked."""
    if isinstance(error, (OutOfMemory, MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)


def _unsigned(picture: Tensor) -> Tensor:
    return picture.add_(1.0).div_(2.0).clamp_(0.0, 1.0).movedim(1, -1).contiguous()


def _multiple(length: int, of: int) -> int:
    return max(of, length // of * of)
