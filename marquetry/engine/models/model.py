"""Model: what travels as MODEL: a denoiser with its noise levels, options and adapters. Its family knows what its network is given."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from marquetry.engine.lazy import torch
from marquetry.engine.models.adapters.adapter import Adapter, AppliedAdapter, MatchedAdapter
from marquetry.engine.models.adapters.apply import applied, staged
from marquetry.engine.models.families.family import Found
from marquetry.engine.models.families.registry import family
from marquetry.engine.sampling.control import CONTROL, RESIDUALS
from marquetry.engine.sampling.latent_format import LatentFormat

if TYPE_CHECKING:
    from torch import Tensor, device, dtype, nn

    from marquetry.engine.models.residency import Resident
    from marquetry.engine.sampling.model_sampling import ModelSampling


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
        return int(self.config["in_channels"]) + max((adapter.widens_by for adapter in self.adapters), default=0)

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
        """What the family's network takes beside the latent, on the device."""
        made = family(self.family).values(self, embedding, extras, batch=batch, latent_shape=latent_shape)
        steering = {CONTROL: extras[CONTROL]} if extras.get(CONTROL) is not None else {}
        return {key: self._placed(value) for key, value in made.items()} | steering

    def denoise(self, x: Tensor, sigma: Tensor, conditioning: dict[str, Any]) -> Tensor:
        """The clean latent seen in `x` [B, C, h, w] with noise of level `sigma` [B]; same shape and dtype as `x`."""
        scaled = self.sampling.scale_input(x, sigma).to(self.dtype)
        time = self.sampling.timestep(sigma).to(device=x.device, dtype=torch.float32)
        with self.resident.use() as network, applied(network, self.adapters), torch.inference_mode():
            if CONTROL in conditioning:
                residuals = conditioning[CONTROL].residuals(network, scaled, time, sigma, conditioning)
                conditioning = {**conditioning, RESIDUALS: residuals}
            output = family(self.family).forward(self, network, scaled, time, conditioning)
        return self.sampling.to_denoised(x, sigma, output.to(x.dtype))

    def _placed(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if value.dtype == torch.float64:  # numbers that the network's type would round, such as sizes in pixels
            return value.to(self.device, torch.float32)
        return value.to(self.device, self.dtype) if value.is_floating_point() else value.to(self.device)
