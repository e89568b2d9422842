"""Inpainting: keep a part of a latent while the rest is sampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from marquetry.engine.lazy import functional, torch
from marquetry.engine.sampling.model import DiffusionModel
from marquetry.engine.sampling.sampler import Denoised

if TYPE_CHECKING:
    from torch import Tensor


def latent_mask(mask: Tensor, latent: Tensor) -> Tensor:
    """A noise mask [B, 1, H, W] or [B, H, W] as `[B, C, h, w]`, shaped like `latent`; 1 is sampled, 0 is kept. Bilinear."""
    mask = mask.to(latent.device, torch.float32)
    batch, channels, *dims = latent.shape
    if len(dims) == 2:
        mask = mask.reshape(-1, 1, *mask.shape[-2:])
        mask = functional.interpolate(mask, size=tuple(dims), mode="bilinear")
    elif len(dims) == 3:
        frames = mask if mask.ndim == 5 else mask.reshape(1, 1, -1, *mask.shape[-2:])
        mask = functional.interpolate(frames, size=tuple(dims), mode="trilinear")
    else:
        mask = functional.interpolate(mask.reshape(mask.shape[0], 1, -1), size=dims[-1], mode="linear")
    if mask.shape[0] != batch:
        mask = mask.repeat((-(-batch // mask.shape[0]),) + (1,) * (mask.ndim - 1))[:batch]
    return mask.expand(-1, channels, *dims) if mask.shape[1] == 1 else mask


@dataclass(frozen=True, eq=False)
class Inpainting:
    """At every evaluation the kept part of the network's input is the known latent with noise of that level, and the answer there is
    the known latent itself (Lugmayr et al. 2022, without resampling). All tensors are `[B, C, h, w]`, in the model's latent space.
    """

    model: DiffusionModel
    mask: Tensor
    latent: Tensor
    noise: Tensor
    sigmas: Tensor

    def mask_at(self, sigma: float) -> Tensor:
        """The mask at a level, after the model's `denoise_mask_function` if it has one."""
        function = self.model.options.get("denoise_mask_function")
        if function is None:
            return self.mask
        level = torch.full((self.mask.shape[0],), sigma, dtype=torch.float32, device=self.mask.device)
        described: dict[str, Any] = {"model": self.model, "sigmas": self.sigmas}
        mask: Tensor = function(level, self.mask, extra_options=described)
        return mask

    def restored_input(self, x: Tensor, sigma: float, mask: Tensor) -> Tensor:
        """`x` with the kept part replaced by the known latent, noised to `sigma`."""
        known = self.model.sampling.noise_scaling(sigma, self.noise, self.latent)
        return x * mask + known * (1.0 - mask)

    def restored_answer(self, answer: Denoised, mask: Tensor) -> Denoised:
        """The estimates with the kept part replaced by the known latent."""
        kept = self.latent * (1.0 - mask)
        uncond = answer.uncond_denoised
        return Denoised(answer.denoised * mask + kept, None if uncond is None else uncond * mask + kept)
