"""Family: what one architecture knows of itself. A family's file defines `FAMILY`; nothing else names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from marquetry.engine.models.network import NetworkRecipe
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.text.part import TextEncoderPart
from marquetry.engine.models.text.recipe import TextRecipe
from marquetry.engine.models.weights import Weights
from marquetry.engine.sampling.latent_format import LatentFormat

if TYPE_CHECKING:
    from torch import Tensor

    from marquetry.engine.models.model import Model
    from marquetry.engine.sampling.model_sampling import ModelSampling


@dataclass(frozen=True)
class Found:
    """What a family recognises in a file; a part that the file lacks is None. Text encoders go by their roles (`clip_l`, `t5xxl`, ...)."""

    family: str
    layout: str  # "original", "diffusers", ...
    denoiser: NetworkRecipe | None = None
    text_encoders: Mapping[str, TextEncoderPart] = field(default_factory=dict)
    vae: NetworkRecipe | None = None
    prefixes: Mapping[str, str] = field(default_factory=dict)  # part or role -> what its names begin with

    @property
    def text_encoder(self) -> TextEncoderPart | None:
        """The first text encoder."""
        return next(iter(self.text_encoders.values()), None)

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(name for name in ("denoiser", "text_encoder", "vae") if getattr(self, name) is not None)


class Family(Protocol):
    """One architecture: detection from names and shapes alone, noise levels, latent format, what its network is given."""

    id: str
    text: TextRecipe
    latent_format: LatentFormat

    def recognise(self, header: Header, hints: Mapping[str, Any]) -> Found | None:
        """What the file holds of this family, or None. `hints` are the configuration files of a diffusers folder, by part."""
        ...

    def sampling(self, found: Found, weights: Weights, hints: Mapping[str, Any]) -> ModelSampling:
        """The noise levels and the kind of prediction of the denoiser."""
        ...

    def values(
        self, model: Model, embedding: Tensor, extras: Mapping[str, Any], *, batch: int, latent_shape: tuple[int, ...]
    ) -> dict[str, Any]:
        """What the network takes beside latent and time, for one entry of a CONDITIONING: see `DiffusionModel.conditioning`."""
        ...

    def forward(self, model: Model, network: Any, x: Tensor, time: Tensor, values: Mapping[str, Any]) -> Tensor:
        """The network's output for a scaled latent `x` [B, C, h, w] at times [B], in the shape of the latent."""
        ...

    def original_table(self, found: Found, part: str, names: Mapping[str, Any]) -> dict[str, Any]:
        """Where a network's tensors, `names`, stand in a file of the original layout: for saving. `part` may be a text encoder's role."""
        ...
