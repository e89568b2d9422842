"""unCLIP (Ramesh et al. 2022): models that are told encoded pictures, with noise added to them as they were trained."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from marquetry.engine.errors import NodeFailed
from marquetry.engine.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

UNCLIP = "unclip_conditioning"
"""The key of encoded pictures in a CONDITIONING: dicts with `clip_vision_output`, `strength` and `noise_augmentation` (0..1)."""

LEVELS = 1000
MERGED = 0.05  # the noise on the sum of several pictures


def picture_label(entries: Sequence[Mapping[str, Any]], start: Tensor, mean: Tensor, deviation: Tensor, merged: float = MERGED) -> Tensor:
    """What a model is told of encoded pictures, `[1, 2 * P]`: their embeddings with noise, and how much noise that is.

    Several pictures are added up by their strengths. `mean` and `deviation` [1, P] are those of all embeddings, which noise is measured by.
    Noise follows from the starting noise `start`, and so from the seed. Raises NodeFailed for an encoder of another width.
    """
    generator, width = seeded_by(start), mean.shape[-1]
    told: list[Tensor] = []
    for entry in entries:
        for embeds in entry["clip_vision_output"].image_embeds.split(1):
            if embeds.shape[-1] != width:
                raise NodeFailed(f"this model reads picture embeddings {width} wide; the image encoder gives {embeds.shape[-1]} wide ones")
            told.append(noised(embeds, entry["noise_augmentation"], mean, deviation, generator) * entry["strength"])
    if len(told) == 1:
        return told[0]
    return noised(torch.stack(told).sum(dim=0)[:, :width], merged, mean, deviation, generator)


def noised(embeds: Tensor, augmentation: float, mean: Tensor, deviation: Tensor, generator: Any) -> Tensor:
    """Embeddings `[B, P]` with that share of the noise there is, and the sinusoids of its level, `[B, 2 * P]`."""
    from diffusers.models.embeddings import get_timestep_embedding

    sinusoids: Any = get_timestep_embedding
    level = round((LEVELS - 1) * augmentation)
    kept = kept_at(level)
    noise = torch.randn(embeds.shape, generator=generator)
    mixed = (embeds.float() - mean) / deviation * kept**0.5 + noise * (1.0 - kept) ** 0.5
    levels: Tensor = sinusoids(torch.full((len(embeds),), level), embeds.shape[-1], flip_sin_to_cos=True, downscale_freq_shift=0)
    return torch.cat([mixed * deviation + mean, levels], dim=1)


def kept_at(level: int) -> float:
    """The share of the signal's variance at a level of the cosine schedule (Nichol and Dhariwal 2021)."""
    times = torch.arange(LEVELS + 1, dtype=torch.float64) / LEVELS
    bars = torch.cos((times + 0.008) / 1.008 * torch.pi / 2) ** 2
    betas = (1 - bars[1:] / bars[:-1]).clamp(max=0.999)
    return float((1 - betas[: level + 1]).prod())


def seeded_by(start: Tensor) -> Any:
    """A generator that follows from the noise that sampling starts from."""
    digest = hashlib.sha256(start.detach().float().cpu().contiguous().numpy().tobytes()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
