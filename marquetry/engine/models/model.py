"""Model: what travels as MODEL for networks that predict noise from a latent, a time and cross-attention tokens."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from marquetry.engine.lazy import functional, torch
from marquetry.engine.models.adapters.adapter import Adapter, AppliedAdapter, MatchedAdapter
from marquetry.engine.models.adapters.apply import applied, staged
from marquetry.engine.models.families.family import Found
from marquetry.engine.sampling.latent_format import LatentFormat
from marquetry.engine.sampling.model import CONCAT, CONTEXT

if TYPE_CHECKING:
    from torch import Tensor, device, dtype, nn

    from marquetry.engine.models.residency import Resident
    from marquetry.engine.sampling.model_sampling import ModelSampling

INPAINTING_CHANNELS = 5  # a mask and the latent of the masked picture
PICTURE_CHANNELS = 4  # the latent of the picture to edit
GREY_LATENT = (0.8223, -0.6876, 0.6364, 0.1380)  # a mid-grey picture in SD1's scaled latent space


@dataclass(frozen=True, eq=False)
class Model:
    """A denoiser with its noise levels, options and adapters. Immutable: copies share the resident weights."""

    resident: Resident[nn.Module]
    sampling: ModelSampling
    latent_format: LatentFormat
    device: device
    dtype: dtype
    family: str
    found: Found = field(repr=False)  # what its file holds
    fingerprint: str = ""  # of the file that the weights come from
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    adapters: tuple[AppliedAdapter, ...] = ()

    @property
    def config(self) -> Mapping[str, Any]:
        """The arguments that the network was built with."""
        assert self.found.denoiser is not None
        return self.found.denoiser.config

    @property
    def in_channels(self) -> int:
        """The channels that the network takes: those of the latent, and those of what guides it (inpainting, editing)."""
        return int(self.config["in_channels"])

    def with_sampling(self, sampling: ModelSampling) -> Self:
        return replace(self, sampling=sampling)

    def with_options(self, **options: Any) -> Self:
        return replace(self, options=MappingProxyType({**self.options, **options}))

    def match(self, adapter: Adapter) -> MatchedAdapter:
        """What of an adapter fits this network. Brings the weights into memory."""
        with self.resident.use() as network:
            return adapter.for_network(network, "unet")

    def with_adapter(self, adapter: Adapter | MatchedAdapter, strength: float) -> Self:
        """A copy with one more adapter at that strength; the base weights stay shared and untouched."""
        matched = adapter if isinstance(adapter, MatchedAdapter) else self.match(adapter)
        return replace(self, adapters=(*self.adapters, matched.applied(strength)))

    def clone(self) -> Self:
        """A shallow copy."""
        return copy.copy(self)

    @contextmanager
    def loaded(self) -> Iterator[None]:
        """Keeps weights and adapters on the device while the block runs. Raises OutOfMemory when they can't be made to fit."""
        with self.resident.use() as network, staged(network, self.adapters):
            yield

    def conditioning(self, embedding: Tensor, extras: Mapping[str, Any], *, batch: int, latent_shape: tuple[int, ...]) -> dict[str, Any]:
        """Cross-attention tokens `[batch, T, D]`, and for inpainting and editing models `concat` `[batch, c, h, w]`."""
        made: dict[str, Any] = {CONTEXT: _batch(embedding, batch).to(self.device, self.dtype)}
        extra_channels = self.in_channels - self.latent_format.channels
        if extra_channels:
            made[CONCAT] = self._concat(extras, extra_channels, batch, latent_shape).to(self.device, self.dtype)
        return made

    def denoise(self, x: Tensor, sigma: Tensor, conditioning: dict[str, Any]) -> Tensor:
        """The clean latent seen in `x` [B, C, h, w] with noise of level `sigma` [B]; same shape and dtype as `x`."""
        scaled = self.sampling.scale_input(x, sigma).to(self.dtype)
        if CONCAT in conditioning:
            scaled = torch.cat([scaled, conditioning[CONCAT]], dim=1)
        time = self.sampling.timestep(sigma).to(device=x.device, dtype=torch.float32)
        with self.resident.use() as network, applied(network, self.adapters), torch.inference_mode():
            output = network(scaled, time, encoder_hidden_states=conditioning[CONTEXT], return_dict=False)[0]
        return self.sampling.to_denoised(x, sigma, output.to(x.dtype))

    def _concat(self, extras: Mapping[str, Any], channels: int, batch: int, shape: tuple[int, ...]) -> Tensor:
        size = tuple(shape[-2:])
        latent = extras.get("concat_latent_image")
        if channels == PICTURE_CHANNELS:
            return torch.zeros(batch, channels, *size) if latent is None else _fit(latent, size, batch)
        latent = extras.get("latent_image") if latent is None else self.latent_format.process_in(latent)
        mask = extras.get("concat_mask")
        if mask is None:
            mask = extras.get("denoise_mask")
        if mask is None:
            mask = torch.ones(batch, 1, *size)
            latent = None
        if latent is None:
            latent = torch.tensor(GREY_LATENT).reshape(1, -1, 1, 1).expand(batch, -1, *size)
        mask = mask[:, :1] if mask.ndim == 4 else mask.reshape(-1, 1, *mask.shape[-2:])
        return torch.cat([_fit(mask, size, batch).round(), _fit(latent, size, batch).to(mask.device)], dim=1)


def _fit(latent: Tensor, size: tuple[int, ...], batch: int) -> Tensor:
    latent = latent.float()
    if tuple(latent.shape[-2:]) != size:
        latent = functional.interpolate(latent, size=size, mode="bilinear", align_corners=False)
    return _batch(latent, batch)


def _batch(tensor: Tensor, batch: int) -> Tensor:
    """The first `batch` entries, repeated in order where there are too few."""
    if tensor.shape[0] == batch:
        return tensor
    repeats = -(-batch // tensor.shape[0])
    return tensor.repeat(repeats, *(1,) * (tensor.ndim - 1))[:batch]
