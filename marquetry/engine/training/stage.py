"""One stage of training: deterministic for a seed, resumable to the bit.

All randomness of a step follows from the seed and the step's number, so no generator state needs to be carried over.
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from marquetry.engine.training.average import WeightAverage
from marquetry.engine.training.compute import Compute, checkpoint_activations, make_optimiser
from marquetry.engine.training.errors import TrainingFailed
from marquetry.engine.training.learning_rate import learning_rate
from marquetry.engine.training.recipe import StageRecipe

PART_SPAN = 1 << 40  # parts of one step draw as far from each other as no two steps do


@dataclass(frozen=True, slots=True)
class Draws:
    """The random sources of one step, or of one part of a step that accumulates gradients."""

    tensors: torch.Generator
    words: random.Random


class Stage(ABC):
    """Networks, their optimiser and their average; a subclass says what the loss is.

    `networks` holds what learns and is saved; what stays frozen is best kept outside of it.
    """

    def __init__(self, networks: nn.Module, recipe: StageRecipe, seed: int, compute: Compute | None = None) -> None:
        self.compute = compute or Compute(precision=recipe.precision or "float32")
        self.networks = networks.to(self.compute.device)
        self.recipe = recipe
        self.seed = seed
        self.step = 0
        self.steps = recipe.steps
        if recipe.checkpointing:
            checkpoint_activations(networks)
        self.optimiser = make_optimiser(recipe, self.parameter_groups())
        self.scaler = self.compute.scaler()
        self.average = WeightAverage(networks, recipe.ema_decay)
        self.gradient_norm = 0.0

    @abstractmethod
    def loss(self, draws: Draws) -> Tensor:
        """The loss of one freshly drawn batch."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """What the optimiser moves; a group's `share` multiplies the learning rate."""
        return [{"params": [weight for weight in self.networks.parameters() if weight.requires_grad]}]

    def draws(self, part: int = 0) -> Draws:
        """Random sources that depend on the seed, the step and the part of the step alone."""
        key = self.seed * 1_000_003 + self.step + part * PART_SPAN
        return Draws(torch.Generator().manual_seed(key % 2**63), random.Random(key))

    def learning_rate(self) -> float:
        """The rate of the step to come."""
        return learning_rate(self.recipe, self.step, self.steps)

    def advance(self) -> float:
        """Takes one step and returns its loss. Raises TrainingFailed, with the weights as they were, for a loss that is no number."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate() * group.get("share", 1.0)
        self.optimiser.zero_grad(set_to_none=True)
        parts = self.recipe.accumulation
        total = sum(self._accumulated(part, parts) for part in range(parts))
        self.scaler.unscale_(self.optimiser)
        self.gradient_norm = float(nn.utils.clip_grad_norm_(self.networks.parameters(), self.recipe.gradient_norm_max))
        if self.compute.precision != "float16" and not math.isfinite(self.gradient_norm):
            raise self._diverged("the gradients are no numbers")
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.average.update(self.networks)
        self.step += 1
        self.stepped()
        return total

    def stepped(self) -> None:  # noqa: B027 - most have nothing that moves along
        """Called after each step, for what moves along with the weights."""

    def _accumulated(self, part: int, parts: int) -> float:
        draws = self.draws(part)
        devices = [self.compute.device] if self.compute.device.type == "cuda" else []
        with torch.random.fork_rng(devices):  # for what draws from torch's own generator, such as dropout
            torch.manual_seed(draws.tensors.initial_seed())
            loss = self.loss(draws) / parts if parts > 1 else self.loss(draws)
            value = loss.item()
            if not math.isfinite(value):
                raise self._diverged(f"the loss is {value}")
            torch.autograd.backward(self.scaler.scale(loss))
        return value

    def _diverged(self, what: str) -> TrainingFailed:
        return TrainingFailed(
            f"at step {self.step + 1} of {self.steps} {what}; lower the learning rate (now {self.recipe.learning_rate:g}), "
            "lengthen the warm-up, or use a wider precision",
            step=self.step,
        )

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
            "scaler": self.scaler.state_dict(),
        }
        partial = path.with_suffix(".partial")
        torch.save(state | self.extra_state(), partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Continues from a saved file of the same seed and sizes."""
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        if state["seed"] != self.seed:
            raise ValueError(f"{path} was trained with seed {state['seed']}, not {self.seed}; resume with that seed.")
        self.step, self.steps = state["step"], state["steps"]
        self.networks.load_state_dict(state["networks"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.load(state["average"], state["average_updates"])
        if state.get("scaler"):
            self.scaler.load_state_dict(state["scaler"])
        self.load_extra_state(state)

    def extra_state(self) -> dict[str, Any]:
        """What a subclass carries over beside weights, optimiser and average."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:  # noqa: B027 - most have nothing extra
        """The way back from `extra_state`."""
