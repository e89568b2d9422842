"""ControlNet training (Zhang et al. 2023): a copy of the UNet's first half that reads a steering picture and adds to the frozen UNet.

It begins as the UNet and adds nothing, since its way out leads through convolutions of zeros.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import ControlNetModel
from torch import Tensor

from marquetry.engine.training.base_model import BaseModel
from marquetry.engine.training.buckets import Bucket, fitted
from marquetry.engine.training.compute import Compute, checkpoint_activations
from marquetry.engine.training.denoising import DenoisingStage, Noised, Objective
from marquetry.engine.training.errors import TrainingFailed
from marquetry.engine.training.lessons import Batch, Lessons
from marquetry.engine.training.networks import Network
from marquetry.engine.training.recipe import StageRecipe


@dataclass(frozen=True, slots=True)
class ControlNetRecipe:
    """How a ControlNet is trained; captions are dropped often, so that the steering picture must say what is to be seen."""

    stage: StageRecipe = field(default_factory=lambda: StageRecipe(steps=3000, batch=8, learning_rate=3e-4, ema_decay=0.995))
    caption_dropout: float = 0.3
    objective: Objective = field(default_factory=Objective)


class ControlNetStage(DenoisingStage):
    """The ControlNet learns; the UNet stays as it is. Every example needs its `hint`."""

    def __init__(self, base: BaseModel, lessons: Lessons, recipe: ControlNetRecipe, seed: int, compute: Compute | None = None) -> None:
        compute = compute or Compute(precision=recipe.stage.precision or "float32")
        self.hints = HintTable(lessons, base.vae.downscale_ratio)
        self.unet: Any = base.unet().to(compute.device)
        self.controlnet = build_controlnet(self.unet, seed)
        if recipe.stage.checkpointing:
            checkpoint_activations(self.unet)
        super().__init__(self.controlnet, base, lessons, recipe.stage, seed, compute, recipe.objective)

    def predict(self, batch: Batch, noised: Noised) -> Tensor:
        """The steered UNet's answer."""
        hint = self.hints.look_up(batch).to(self.compute.device)
        return steered(self.unet, self.controlnet, noised, hint)


def steered(unet: Any, controlnet: Any, noised: Noised, hint: Tensor, strength: float = 1.0) -> Tensor:
    """What the UNet says with a steering picture `[B, 3, H, W]` in 0..1."""
    down, middle = controlnet(noised.noisy, noised.timesteps, noised.context, hint, conditioning_scale=strength, return_dict=False)
    predicted: Tensor = unet(
        noised.noisy, noised.timesteps, noised.context, down_block_additional_residuals=down, mid_block_additional_residual=middle
    ).sample
    return predicted


def build_controlnet(unet: Any, seed: int) -> Network:
    """A ControlNet that begins as the UNet's first half, ready to learn; its reader of pictures is drawn from the seed."""
    kind: Any = ControlNetModel
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made: Network = kind.from_unet(unet)
    return made.to("cpu").float().train().requires_grad_(True)


class HintTable:
    """Steering pictures at the size of their example's bucket, fitted when they first come up."""

    def __init__(self, lessons: Lessons, ratio: int) -> None:
        missing = [example.name for example in lessons.examples if example.hint is None]
        if missing:
            raise TrainingFailed(f"{len(missing)} pictures have no steering picture beside them, such as {missing[0]}")
        if any(len(set(members)) != len(members) for members in lessons.members.values()):
            raise TrainingFailed("pictures can't be mirrored where steering pictures go with them; switch mirroring off")
        self.lessons = lessons
        self.ratio = ratio
        self._fitted: dict[tuple[int, Bucket], Tensor] = {}

    def look_up(self, batch: Batch) -> Tensor:
        """`[B, 3, H, W]` in 0..1."""
        shape = Bucket(batch.latents.shape[-2] * self.ratio, batch.latents.shape[-1] * self.ratio)
        return torch.stack([self._one(index, shape) for index in batch.indexes]).permute(0, 3, 1, 2).float() / 255.0

    def _one(self, index: int, shape: Bucket) -> Tensor:
        hint = self.lessons.examples[index].hint
        assert hint is not None
        return self._fitted.setdefault((index, shape), fitted(hint, shape))
