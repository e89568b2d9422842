"""Fine-tuning: the whole UNet learns on, starting from a base."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from marquetry.engine.training.base_model import BaseModel
from marquetry.engine.training.compute import Compute
from marquetry.engine.training.denoising import DenoisingStage, Noised, Objective
from marquetry.engine.training.lessons import Batch, Lessons
from marquetry.engine.training.recipe import StageRecipe


@dataclass(frozen=True, slots=True)
class FineTuneRecipe:
    """How the whole UNet is trained further."""

    stage: StageRecipe = field(default_factory=lambda: StageRecipe(steps=2000, batch=8, learning_rate=1e-4, ema_decay=0.995))
    caption_dropout: float = 0.1
    objective: Objective = field(default_factory=Objective)


class FineTuneStage(DenoisingStage):
    """All weights of the UNet learn; the text encoder and the autoencoder stay as they are."""

    def __init__(
        self,
        base: BaseModel,
        lessons: Lessons,
        recipe: FineTuneRecipe,
        seed: int,
        compute: Compute | None = None,
        unet: Any = None,
    ) -> None:
        compute = compute or Compute(precision=recipe.stage.precision or "float32")
        self.unet: Any = (base.unet() if unet is None else unet).requires_grad_(True)
        super().__init__(self.unet, base, lessons, recipe.stage, seed, compute, recipe.objective)

    def predict(self, batch: Batch, noised: Noised) -> Tensor:
        """The UNet's answer."""
        predicted: Tensor = self.unet(noised.noisy, noised.timesteps, noised.context).sample
        return predicted

    def trained(self) -> dict[str, Tensor]:
        """The averaged weights by diffusers' names."""
        with self.average.applied(self.networks):
            return {name: weight.detach().cpu().clone() for name, weight in self.unet.state_dict().items()}
