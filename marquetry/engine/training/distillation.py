"""Few-step distillation: a latent consistency model (Luo et al. 2023), whole or as a LoRA.

From any point of a path from noise to picture the student is to name the picture at its end; the teacher, guided, says how the
path goes on, and the student's own average says where it ends from there.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from marquetry.engine.training.base_model import BaseModel
from marquetry.engine.training.compute import Compute, checkpoint_activations
from marquetry.engine.training.lessons import Lessons
from marquetry.engine.training.lora_file import Change
from marquetry.engine.training.low_rank import LowRankSizes, attach, state_of, unet_paths
from marquetry.engine.training.noise import TIMESTEPS, add_noise, clean
from marquetry.engine.training.recipe import StageRecipe
from marquetry.engine.training.stage import Draws, Stage

Student: TypeAlias = Literal["lora", "whole"]
SIGMA_DATA = 0.5
TIME_SCALE = 10.0
HUBER = 1e-3


@dataclass(frozen=True, slots=True)
class DistillationRecipe:
    """`grid` is how many steps the teacher's path has; `guidance` is drawn from the range and becomes part of the student."""

    stage: StageRecipe = field(default_factory=lambda: StageRecipe(steps=1000, batch=8, learning_rate=5e-4, ema_decay=0.95))
    student: Student = "lora"
    sizes: LowRankSizes = field(default_factory=lambda: LowRankSizes(rank=32, alpha=32.0, conv_rank=32, conv_alpha=32.0))
    guidance: tuple[float, float] = (3.0, 3.0)
    grid: int = 50


class DistillationStage(Stage):
    """Student and teacher begin as the base; the student's average (`ema_decay`) is the target."""

    def __init__(self, base: BaseModel, lessons: Lessons, recipe: DistillationRecipe, seed: int, compute: Compute | None = None) -> None:
        compute = compute or Compute(precision=recipe.stage.precision or "float32")
        self.teacher: Any = base.unet().to(compute.device)
        self.unet: Any = base.unet()
        networks: nn.Module = self.unet
        if recipe.student == "lora":
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                networks = attach(self.unet, unet_paths(self.unet, "attention and convolutions"), recipe.sizes)
            self.unet.to(compute.device)
        else:
            self.unet.requires_grad_(True)
        if recipe.stage.checkpointing:
            checkpoint_activations(self.unet)
        super().__init__(networks, recipe.stage, seed, compute)
        self.settings = recipe
        self.lessons = lessons
        self.prediction = base.prediction
        self.signal_shares = base.signal_shares()
        self.untold = lessons.texts.look_up([""])

    def loss(self, draws: Draws) -> Tensor:
        """The pseudo-Huber distance between where the student ends and where its average ends one step further on."""
        batch = self.lessons.draw(self.recipe.batch, draws)
        device = self.compute.device
        times, following = self._times(len(batch.indexes), draws)
        noise = torch.randn(batch.latents.shape, generator=draws.tensors)
        noisy = add_noise(batch.latents, noise, self.signal_shares[times]).to(device)
        context = batch.context.to(device)
        guidance = _guidance(self.settings.guidance, draws.words)
        with torch.no_grad(), self.compute.autocast():
            further = self._step(noisy, times, following, context, guidance)
            with self.average.applied(self.networks):
                wanted = self.end(further, following, context)
        with self.compute.autocast():
            error = self.end(noisy, times, context) - wanted.detach()
        return ((error.square() + HUBER**2).sqrt() - HUBER).mean()

    def end(self, noisy: Tensor, times: Tensor, context: Tensor) -> Tensor:
        """Where the student says that a path ends."""
        said = self.unet(noisy, times.to(noisy.device), context).sample.float()
        share = self.signal_shares[times].to(noisy.device)
        time = (times.to(noisy.device) * TIME_SCALE)[:, None, None, None]
        keep = SIGMA_DATA**2 / (time**2 + SIGMA_DATA**2)
        take = time / (time**2 + SIGMA_DATA**2).sqrt()
        return keep * noisy + take * clean(self.prediction, noisy, said, share)

    def changes(self) -> dict[str, dict[str, Change]]:
        """The LoRA that was learnt: its average."""
        assert isinstance(self.networks, nn.ModuleDict)
        with self.average.applied(self.networks):
            return {
                "unet": {
                    path: Change(**{key: tensor.cpu().clone() for key, tensor in parts.items()})
                    for path, parts in state_of(self.networks).items()
                }
            }

    def trained(self) -> dict[str, Tensor]:
        """The whole student's averaged weights by diffusers' names."""
        with self.average.applied(self.networks):
            return {name: weight.detach().cpu().clone() for name, weight in self.unet.state_dict().items()}

    def _times(self, batch: int, draws: Draws) -> tuple[Tensor, Tensor]:
        """Places on the teacher's grid, and the places one step nearer to the picture."""
        skip = TIMESTEPS // self.settings.grid
        places = (torch.randint(1, self.settings.grid + 1, (batch,), generator=draws.tensors) * skip) - 1
        return places, (places - skip).clamp(min=0)

    def _step(self, noisy: Tensor, times: Tensor, following: Tensor, context: Tensor, guidance: float) -> Tensor:
        """One step of DDIM by the guided teacher."""
        device = noisy.device
        both = torch.cat([context, self.untold.to(device).expand(len(noisy), -1, -1)])
        told, untold = self.teacher(torch.cat([noisy, noisy]), torch.cat([times, times]).to(device), both).sample.float().chunk(2)
        share = self.signal_shares[times].to(device)
        said = untold + guidance * (told - untold)
        picture = clean(self.prediction, noisy, said, share)
        spread = share[:, None, None, None]
        noise = (noisy - spread.sqrt() * picture) / (1.0 - spread).sqrt()
        return add_noise(picture, noise, self.signal_shares[following].to(device))


def _guidance(limits: tuple[float, float], draw: random.Random) -> float:
    low, high = limits
    return low if low == high else draw.uniform(low, high)
