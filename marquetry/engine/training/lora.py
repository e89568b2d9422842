"""LoRA training: a small change of a UNet, and of its text encoder if wanted, that makes a model show what a dataset shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from marquetry.engine.training.base_model import BaseModel
from marquetry.engine.training.compute import Compute, checkpoint_activations
from marquetry.engine.training.denoising import DenoisingStage, Noised, Objective
from marquetry.engine.training.lessons import Batch, Lessons, caption_ids
from marquetry.engine.training.lora_file import Change
from marquetry.engine.training.low_rank import LowRankSizes, Targets, attach, state_of, text_paths, unet_paths
from marquetry.engine.training.recipe import StageRecipe


@dataclass(frozen=True, slots=True)
class LoraRecipe:
    """`text_rate` is the text encoder's learning rate over the UNet's; 0 leaves the text encoder as it is."""

    stage: StageRecipe = field(default_factory=lambda: StageRecipe(steps=500, batch=4, learning_rate=1e-3, warmup_steps=20, ema_decay=0.98))
    sizes: LowRankSizes = field(default_factory=LowRankSizes)
    targets: Targets = "attention"
    text_rate: float = 0.0
    caption_dropout: float = 0.1
    objective: Objective = field(default_factory=Objective)


class LoraStage(DenoisingStage):
    """The frozen base with changes hung on it; only the changes learn and are saved."""

    def __init__(self, base: BaseModel, lessons: Lessons, recipe: LoraRecipe, seed: int, compute: Compute | None = None) -> None:
        compute = compute or Compute(precision=recipe.stage.precision or "float32")
        self.base = base
        self.unet: Any = base.unet().to(compute.device)
        self.text_encoder: Any = base.text_encoder().to(compute.device) if recipe.text_rate > 0.0 else None
        self.text_rate = recipe.text_rate
        self.layers_run = base.clip.first.layers_run()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            changes = nn.ModuleDict({"unet": attach(self.unet, unet_paths(self.unet, recipe.targets), recipe.sizes)})
            if self.text_encoder is not None:
                changes["text_encoder"] = attach(self.text_encoder, text_paths(self.text_encoder), recipe.sizes)
        if recipe.stage.checkpointing:
            checkpoint_activations(self.unet)
        super().__init__(changes, base, lessons, recipe.stage, seed, compute, recipe.objective)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The text encoder learns at its own rate."""
        groups = [{"params": list(self.networks.unet.parameters()), "share": 1.0}]  # type: ignore[union-attr]
        if self.text_encoder is not None:
            groups.append({"params": list(self.networks.text_encoder.parameters()), "share": self.text_rate})  # type: ignore[union-attr]
        return groups

    def predict(self, batch: Batch, noised: Noised) -> Tensor:
        """The changed UNet's answer."""
        context = noised.context
        if self.text_encoder is not None:
            ids = caption_ids(self.base, batch.captions).to(self.compute.device)
            context = hidden_states(self.text_encoder, ids, self.layers_run)
        predicted: Tensor = self.unet(noised.noisy, noised.timesteps, context).sample
        return predicted

    def changes(self) -> dict[str, dict[str, Change]]:
        """What was learnt, averaged over the last steps: network to module path to factors."""
        with self.average.applied(self.networks):
            return {
                name: {
                    path: Change(**{key: tensor.cpu().clone() for key, tensor in factors.items()})
                    for path, factors in state_of(part).items()
                }
                for name, part in self._parts().items()
            }

    def _parts(self) -> Mapping[str, nn.ModuleDict]:
        return {name: part for name, part in self.networks.named_children() if isinstance(part, nn.ModuleDict)}

    @contextmanager
    def silenced(self) -> Iterator[None]:
        """Inside, the base answers as if nothing had been learnt."""
        scales = {change: change.scale for part in self._parts().values() for change in part.values()}
        for change in scales:
            change.scale = 0.0  # type: ignore[assignment]
        try:
            yield
        finally:
            for change, scale in scales.items():
                change.scale = scale


def hidden_states(text_encoder: Any, ids: Tensor, layers: int) -> Tensor:
    """`[B, 77, D]` after that many layers and the last norm, as a CLIP wire reads them, but learnable."""
    hidden = text_encoder.embeddings(input_ids=ids)
    for layer in text_encoder.encoder.layers[:layers]:
        hidden = layer(hidden, None, is_causal=True)
    normed: Tensor = text_encoder.final_layer_norm(hidden)
    return normed
