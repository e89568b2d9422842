"""What all trainings of denoisers share: noise on latents, what the network is to say of it, and how much each time step counts."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from marquetry.engine.training.base_model import BaseModel
from marquetry.engine.training.compute import Compute
from marquetry.engine.training.lessons import Batch, Lessons
from marquetry.engine.training.noise import add_noise, draw_noise, min_snr_weights, spread_timesteps, target
from marquetry.engine.training.recipe import StageRecipe
from marquetry.engine.training.stage import Draws, Stage


@dataclass(frozen=True, slots=True)
class Objective:
    """`min_snr_gamma` 0 counts all time steps equally."""

    min_snr_gamma: float = 5.0
    noise_offset: float = 0.0


@dataclass(frozen=True, eq=False)
class Noised:
    """A batch with noise; all on the device of the training."""

    latents: Tensor  # [B, 4, h, w]
    noisy: Tensor  # the same at its time step
    timesteps: Tensor  # [B]
    context: Tensor  # [B, 77, D]
    wanted: Tensor  # what the network is to say
    weights: Tensor  # [B]


class DenoisingStage(Stage):
    """A denoiser, or a part of one, learns to name the noise; a subclass says how it predicts."""

    def __init__(
        self,
        networks: nn.Module,
        base: BaseModel,
        lessons: Lessons,
        recipe: StageRecipe,
        seed: int,
        compute: Compute,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(networks, recipe, seed, compute)
        self.lessons = lessons
        self.objective = objective or Objective()
        self.prediction = base.prediction
        self.signal_shares = base.signal_shares()

    @abstractmethod
    def predict(self, batch: Batch, noised: Noised) -> Tensor:
        """What the network says of the noisy latents."""

    def loss(self, draws: Draws) -> Tensor:
        """Squared error, weighted by time step."""
        return self.loss_on(self.lessons, draws)

    def loss_on(self, lessons: Lessons, draws: Draws) -> Tensor:
        """The loss of a batch of any lessons, such as those that are held out."""
        batch = lessons.draw(self.recipe.batch, draws)
        noised = self.noised(batch, draws)
        with self.compute.autocast():
            predicted = self.predict(batch, noised).float()
        error = (predicted - noised.wanted).square().flatten(1).mean(dim=1)
        return (error * noised.weights).mean()

    def noised(self, batch: Batch, draws: Draws) -> Noised:
        """A batch at time steps of its own."""
        device = self.compute.device
        noise = draw_noise(batch.latents.shape, draws.tensors, self.objective.noise_offset)
        timesteps = spread_timesteps(len(batch.indexes), draws.tensors)
        share = self.signal_shares[timesteps]
        return Noised(
            batch.latents.to(device),
            add_noise(batch.latents, noise, share).to(device),
            timesteps.to(device),
            batch.context.to(device),
            target(self.prediction, batch.latents, noise, share).to(device),
            min_snr_weights(share, self.objective.min_snr_gamma, self.prediction).to(device),
        )


@torch.no_grad()
def measured_loss(stage: DenoisingStage, lessons: Lessons, batches: int = 8, seed: int = 0) -> float:
    """The mean loss over batches that are the same every time, so that two moments of a training can be compared."""
    import random

    training = stage.networks.training
    stage.networks.eval()
    total = 0.0
    for number in range(batches):
        key = seed * 7919 + number
        total += stage.loss_on(lessons, Draws(torch.Generator().manual_seed(key), random.Random(key))).item()
    stage.networks.train(training)
    return total / batches
