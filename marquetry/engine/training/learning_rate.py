"""How the learning rate moves over a training: up in the warm-up, then by the schedule."""

from __future__ import annotations

import math

from marquetry.engine.training.recipe import StageRecipe

END = 0.02


def learning_rate(recipe: StageRecipe, step: int, steps: int) -> float:
    """The rate of one step: a linear warm-up, then constant, or down to a fiftieth along a line or half a cosine."""
    warmup = min(1.0, (step + 1) / max(1, recipe.warmup_steps))
    progress = min(1.0, step / max(1, steps))
    match recipe.schedule:
        case "constant":
            share = 1.0
        case "linear":
            share = 1.0 - (1.0 - END) * progress
        case "cosine":
            share = END + (1.0 - END) * 0.5 * (1.0 + math.cos(math.pi * progress))
    return recipe.learning_rate * warmup * share
