"""Compute: where a training runs and in which precision; weights stay in float32, only the arithmetic is narrower."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from marquetry.engine.training.errors import TrainingFailed
from marquetry.engine.training.recipe import Optimiser, Precision, StageRecipe

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class Compute:
    """float16 needs CUDA, where gradients are scaled so that small ones survive."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        if self.precision == "float16" and self.device.type != "cuda":
            raise TrainingFailed(f"float16 trains on CUDA only; on {self.device.type} choose float32 or bfloat16")

    def autocast(self) -> AbstractContextManager[Any]:
        """Inside, matrices and convolutions are multiplied in the precision."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, DTYPES[self.precision])

    def scaler(self) -> torch.amp.GradScaler:
        """Scales losses and gradients in float16; does nothing otherwise."""
        return torch.amp.GradScaler(self.device.type, enabled=self.precision == "float16")


def make_optimiser(recipe: StageRecipe, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """The recipe's optimiser over groups of parameters. Raises TrainingFailed for one that is not installed."""
    settings: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    if recipe.optimiser == "adamw8bit":
        return _eight_bit()(groups, betas=(0.9, 0.99), **settings)  # type: ignore[no-any-return]
    if recipe.optimiser == "adafactor":
        return torch.optim.Adafactor(groups, **settings)
    return torch.optim.AdamW(groups, betas=(0.9, 0.99), **settings)


def installed_optimisers() -> tuple[Optimiser, ...]:
    """Those that can be chosen on this machine."""
    import importlib.util

    return ("adamw", "adafactor") if importlib.util.find_spec("bitsandbytes") is None else ("adamw", "adafactor", "adamw8bit")


def checkpoint_activations(networks: nn.Module) -> None:
    """Activations are computed again on the way back instead of being kept, in every network that can."""
    for module in networks.modules():
        for name in ("enable_gradient_checkpointing", "gradient_checkpointing_enable"):  # diffusers' and transformers' names
            enable: Any = getattr(module, name, None)
            if enable is not None:
                enable()


def _eight_bit() -> Any:
    import importlib

    try:
        return importlib.import_module("bitsandbytes").optim.AdamW8bit
    except ImportError as error:
        raise TrainingFailed("adamw8bit needs the package bitsandbytes, which is not installed; choose adamw") from error
