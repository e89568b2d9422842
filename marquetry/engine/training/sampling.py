"""A plain reference sampler: deterministic DDIM with classifier-free guidance, for measuring a model on its own."""

from dataclasses import dataclass

import torch
from torch import Tensor

from marquetry.engine.training.networks import LATENT_SCALE, PIXELS_PER_LATENT
from marquetry.engine.training.noise import TIMESTEPS, signal_shares
from marquetry.engine.training.single_file import Model
from marquetry.engine.training.vocabulary import token_ids


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """How many steps, and how strongly the caption steers."""

    steps: int = 25
    guidance: float = 3.0


@torch.no_grad()
def sample(model: Model, captions: list[str], seeds: list[int], plan: SamplingPlan) -> Tensor:
    """Pictures `[B, H, W, 3]` as bytes, one for each caption and seed."""
    side = model.sizes.resolution // PIXELS_PER_LATENT
    shares = signal_shares()
    latents = torch.stack([torch.randn(4, side, side, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
    context = model.text_encoder(token_ids(captions + [""] * len(captions))).last_hidden_state
    timesteps = torch.linspace(TIMESTEPS - 1, 0, plan.steps + 1).round().long()[:-1].tolist()
    for timestep, following in zip(timesteps, [*timesteps[1:], None], strict=True):
        told, untold = model.unet(torch.cat([latents, latents]), timestep, context).sample.chunk(2)
        noise = untold + plan.guidance * (told - untold)
        share = shares[timestep]
        clean = (latents - (1.0 - share).sqrt() * noise) / share.sqrt()
        next_share = torch.tensor(1.0) if following is None else shares[following]
        latents = next_share.sqrt() * clean + (1.0 - next_share).sqrt() * noise
    decoded: Tensor = model.autoencoder.decode(latents / LATENT_SCALE).sample
    return ((decoded.clamp(-1.0, 1.0) + 1.0) * 127.5).round().byte().permute(0, 2, 3, 1).contiguous()
