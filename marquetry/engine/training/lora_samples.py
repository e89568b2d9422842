"""Pictures of what a LoRA has learnt so far, made as anybody would make them: adapter on the model, sampler, autoencoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from marquetry.engine.models.adapters.read import read_adapter
from marquetry.engine.sampling.driver import Check, sample_latent
from marquetry.engine.training.base_model import BaseModel


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """How pictures are made; each prompt has its own seed, the same every time."""

    prompts: tuple[str, ...]
    resolution: int
    steps: int = 12
    guidance: float = 4.0
    seed: int = 0
    sampler: str = "euler"
    scheduler: str = "normal"


def sampled(base: BaseModel, plan: SamplePlan, check: Check | None = None) -> Tensor:
    """IMAGE `[N, H, W, 3]`, one for each prompt."""
    side = plan.resolution // base.vae.downscale_ratio
    pictures = []
    for number, prompt in enumerate(plan.prompts):
        latent = sample_latent(
            base.model,
            seed=plan.seed + number,
            steps=plan.steps,
            cfg=plan.guidance,
            sampler_name=plan.sampler,
            scheduler=plan.scheduler,
            positive=base.clip.encode_conditioning(prompt),
            negative=base.clip.encode_conditioning(""),
            latent={"samples": torch.zeros(1, base.model.latent_format.channels, side, side)},
            check_cancelled=check,
        )
        pictures.append(base.vae.decode(latent["samples"]))
    return torch.cat(pictures)


def with_lora(base: BaseModel, tensors: Mapping[str, Tensor], key: str) -> BaseModel:
    """The base with a LoRA by kohya's names applied; equal keys are taken for equal LoRAs."""
    adapter = read_adapter(tensors, content_hash=key)
    return BaseModel(base.model.with_adapter(adapter, 1.0), base.clip.with_adapter(adapter, 1.0), base.vae, base.name, base.hash)


def sheet(pictures: Sequence[Tensor]) -> Tensor:
    """Pictures `[H, W, 3]` of one size side by side."""
    return torch.cat(list(pictures), dim=1)
