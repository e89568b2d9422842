"""TrainingOptions: what can be set of every training beside its length, and the presets by which trainings are sold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Literal, TypeAlias

from marquetry.engine.training.recipe import Optimiser, Precision, Schedule, StageRecipe

Preset: TypeAlias = Literal["character_fast", "style_fast", "lora50", "lora200"]


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """Options of every training; without a `precision` it is the one that suits the device."""

    schedule: Schedule = "cosine"
    warmup_steps: int = 20
    accumulation: int = 1
    gradient_norm_max: float = 1.0
    precision: Precision | None = None
    optimiser: Optimiser = "adamw"
    weight_decay: float = 0.01
    checkpointing: bool = False
    ema_decay: float = 0.99
    min_snr_gamma: float = 5.0
    noise_offset: float = 0.0
    caption_dropout: float = 0.1
    bucketed: bool = True
    flipped: bool = False

    def stage(self, steps: int, batch: int, learning_rate: float) -> StageRecipe:
        """The recipe of a stage of that length."""
        return StageRecipe(
            steps=steps,
            batch=batch,
            learning_rate=learning_rate,
            warmup_steps=min(self.warmup_steps, max(1, steps // 5)),
            ema_decay=self.ema_decay,
            weight_decay=self.weight_decay,
            gradient_norm_max=self.gradient_norm_max,
            schedule=self.schedule,
            accumulation=self.accumulation,
            precision=self.precision,
            optimiser=self.optimiser,
            checkpointing=self.checkpointing,
        )


@dataclass(frozen=True, slots=True)
class LoraPreset:
    """How long and how finely a kind of LoRA is trained: epochs over the pictures, within limits of steps."""

    epochs: int
    rank: int
    learning_rate: float
    text_rate: float
    steps_min: int
    steps_max: int

    def steps(self, pictures: int, batch: int) -> int:
        """Steps for that many pictures."""
        return max(self.steps_min, min(self.steps_max, ceil(self.epochs * pictures / batch)))


PRESETS: Mapping[Preset, LoraPreset] = {
    "character_fast": LoraPreset(epochs=15, rank=8, learning_rate=1e-3, text_rate=0.3, steps_min=100, steps_max=600),
    "style_fast": LoraPreset(epochs=20, rank=16, learning_rate=1e-3, text_rate=0.0, steps_min=100, steps_max=600),
    "lora50": LoraPreset(epochs=30, rank=16, learning_rate=5e-4, text_rate=0.3, steps_min=400, steps_max=2000),
    "lora200": LoraPreset(epochs=25, rank=32, learning_rate=5e-4, text_rate=0.3, steps_min=1000, steps_max=8000),
}
