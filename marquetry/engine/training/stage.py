"""One stage of training: deterministic for a seed, resumable to the bit.

All randomness of a step follows from the seed and the step's number, so no generator state needs to be carried over.
"""

import math
import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from marquetry.engine.training.average import WeightAverage
from marquetry.engine.training.recipe import StageRecipe


@dataclass(frozen=True, slots=True)
class Draws:
    """The random sources of one step."""

    tensors: torch.Generator
    words: random.Random


class Stage(ABC):
    """Networks, their optimiser and their average; a subclass says what the loss is."""

    def __init__(self, networks: nn.Module, recipe: StageRecipe, seed: int) -> None:
        self.networks = networks
        self.recipe = recipe
        self.seed = seed
        self.step = 0
        self.steps = recipe.steps
        parameters = [weight for weight in networks.parameters() if weight.requires_grad]
        self.optimiser = torch.optim.AdamW(parameters, lr=recipe.learning_rate, betas=(0.9, 0.99), weight_decay=recipe.weight_decay)
        self.average = WeightAverage(networks, recipe.ema_decay)

    @abstractmethod
    def loss(self, draws: Draws) -> Tensor:
        """The loss of one freshly drawn batch."""

    def draws(self) -> Draws:
        """Random sources that depend on the seed and the step alone."""
        key = self.seed * 1_000_003 + self.step
        return Draws(torch.Generator().manual_seed(key), random.Random(key))

    def learning_rate(self) -> float:
        """Linear warm-up, then half a cosine down to a fiftieth."""
        warmup = min(1.0, (self.step + 1) / self.recipe.warmup_steps)
        progress = min(1.0, self.step / self.steps)
        return self.recipe.learning_rate * warmup * (0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * progress)))

    def advance(self) -> float:
        """Takes one step and returns its loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate()
        loss = self.loss(self.draws())
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.networks.parameters(), self.recipe.gradient_norm_max)
        self.optimiser.step()
        self.average.update(self.networks)
        self.step += 1
        return loss.item()

    def save(self, path: Path) -> None:
        """Writes everything that a later run needs; a crash in between leaves the earlier file whole."""
        state = {
            "seed": self.seed,
            "step": self.step,
            "steps": self.steps,
            "networks": self.networks.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.weights,
            "average_updates": self.average.updates,
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Continues from a saved file of the same seed and sizes."""
        state: dict[str, Any] = torch.load(path, weights_only=True)
        if state["seed"] != self.seed:
            raise ValueError(f"{path} was trained with seed {state['seed']}, not {self.seed}; resume with that seed.")
        self.step, self.steps = state["step"], state["steps"]
        self.networks.load_state_dict(state["networks"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.weights = state["average"]
        self.average.updates = state["average_updates"]
