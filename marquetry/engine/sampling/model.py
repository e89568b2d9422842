"""DiffusionModel: what travels as MODEL. Families implement it; samplers never see it, guiders and the driver do."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from marquetry.engine.sampling.latent_format import LatentFormat
from marquetry.engine.sampling.model_sampling import ModelSampling

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["CONCAT", "CONTEXT", "DiffusionModel", "LatentFormat", "ModelSampling"]

CONTEXT = "context"
"""The key of cross-attention tokens [B, T, D] in a model's conditioning.

Attention over keys that are all repeated equally often is unchanged, so prompts of different lengths may be repeated to a common
length and share one forward pass. A family whose tokens take part in self-attention names them otherwise.
"""

CONCAT = "concat"
"""The key of latent-shaped conditioning [B, C', h, w], such as an inpainting model's: it is cut to a prompt's area with the latent."""


@runtime_checkable
class DiffusionModel(Protocol):
    """A denoising network with its noise levels, its latent format and the options that nodes have put on it."""

    @property
    def sampling(self) -> ModelSampling: ...

    @property
    def latent_format(self) -> LatentFormat: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def options(self) -> Mapping[str, Any]:
        """Immutable. Guidance functions under ComfyUI's keys (see `guiders`), and whatever a family's forward pass reads."""
        ...

    def with_sampling(self, sampling: ModelSampling) -> Self:
        """A copy that shares the weights."""
        ...

    def with_options(self, **options: Any) -> Self:
        """A copy that shares the weights, with these options added or replaced."""
        ...

    def loaded(self) -> AbstractContextManager[None]:
        """Keeps weights and adapters on the device for the time of sampling."""
        ...

    def conditioning(self, embedding: Tensor, extras: Mapping[str, Any], *, batch: int, latent_shape: tuple[int, ...]) -> dict[str, Any]:
        """What `denoise` takes beside the latent, for one entry of a CONDITIONING.

        `embedding` is `[1 or B, T, D]`; `extras` is the entry's dict with these added: `role` ("positive", "negative", ...), `noise` (the
        starting noise, `latent_shape`), `latent_image` and `denoise_mask` (or None). Tensors of the answer have a leading dimension
        `batch` and lie on the device; cross-attention tokens are under `CONTEXT`, what is shaped like the latent under `CONCAT`. A
        value that is no tensor is passed on as it is, and keeps entries apart that don't hold the very same object.
        """
        ...

    def denoise(self, x: Tensor, sigma: Tensor, conditioning: dict[str, Any]) -> Tensor:
        """The clean latent seen in `x` [B, C, h, w] with noise of level `sigma` [B]; same shape and dtype as `x`."""
        ...
