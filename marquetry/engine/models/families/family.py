"""Family: what one architecture knows of itself. A family's file defines `FAMILY`; nothing else names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from marquetry.engine.models.network import NetworkRecipe
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.weights import Weights
from marquetry.engine.sampling.latent_format import LatentFormat

if TYPE_CHECKING:
    from marquetry.engine.sampling.model_sampling import ModelSampling


@dataclass(frozen=True)
class TextEncoderPart:
    """A text encoder in a file. `layer` is the one whose output is used: 0 the last, 1 the one before, ...

    `absent_layers` counts layers that the published encoder has after the file's last one; prompts end in `pad_token`s.
    """

    recipe: NetworkRecipe
    layer: int = 0
    absent_layers: int = 0
    pad_token: int = 49407


@dataclass(frozen=True)
class Found:
    """What a family recognises in a file; a part that the file lacks is None."""

    family: str
    layout: str  # "original", "diffusers", ...
    denoiser: NetworkRecipe | None = None
    text_encoder: TextEncoderPart | None = None
    vae: NetworkRecipe | None = None
    prefixes: Mapping[str, str] = field(default_factory=dict)  # part -> what its names begin with

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(name for name in ("denoiser", "text_encoder", "vae") if getattr(self, name) is not None)


class Family(Protocol):
    """One architecture: detection from names and shapes alone, noise levels, latent format."""

    id: str
    clip_types: frozenset[str]  # CLIPLoader's `type` values that this family answers to
    latent_format: LatentFormat

    def recognise(self, header: Header, hints: Mapping[str, Any]) -> Found | None:
        """What the file holds of this family, or None. `hints` are the configuration files of a diffusers folder, by part."""
        ...

    def sampling(self, found: Found, weights: Weights, hints: Mapping[str, Any]) -> ModelSampling:
        """The noise levels and the kind of prediction of the denoiser."""
        ...

    def original_table(self, found: Found, part: str, names: Mapping[str, Any]) -> dict[str, Any]:
        """Where a network's tensors, `names`, stand in a file of the original layout: for saving."""
        ...
