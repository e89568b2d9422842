"""The whole of a LoRA's training: encode, train, show pictures on the way, measure on what is held out, write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from marquetry.engine.context import Context
from marquetry.engine.training.base_model import BaseModel
from marquetry.engine.training.dataset import Dataset
from marquetry.engine.training.denoising import measured_loss
from marquetry.engine.training.lessons import lessons_of
from marquetry.engine.training.lora import LoraRecipe, LoraStage
from marquetry.engine.training.lora_file import lora_metadata, tensors_of, write_lora
from marquetry.engine.training.lora_samples import SamplePlan, sampled, sheet, with_lora
from marquetry.engine.training.options import TrainingOptions
from marquetry.engine.training.session import TrainingSession

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SAMPLES_MAX = 4


@dataclass(frozen=True, eq=False)
class LoraResult:
    """The file's name, the losses as IMAGE, what the LoRA makes of the prompts as IMAGE, and what happened in words."""

    name: str
    curve: Tensor
    samples: Tensor
    report: str


class LoraTraining:
    """One LoRA to be trained; `run` does it, goes on with it, or finds it done."""

    def __init__(
        self,
        context: Context,
        base: BaseModel,
        dataset: Dataset,
        recipe: LoraRecipe,
        options: TrainingOptions,
        name: str,
        resolution: int,
        seed: int,
    ) -> None:
        settings = {
            "base": base.identity,
            "dataset": dataset.key(),
            "recipe": recipe,
            "options": options,
            "resolution": resolution,
            "seed": seed,
        }
        self.session = TrainingSession(context, "loras", name, settings)
        self.context, self.base, self.dataset, self.recipe, self.options = context, base, dataset, recipe, options
        self.resolution, self.seed = resolution, seed

    def run(self, sample_every: int = 0, prompts: tuple[str, ...] = ()) -> LoraResult:
        """Raises Interrupted (the state waits) and TrainingFailed."""
        plan = SamplePlan((prompts or self._captions())[:SAMPLES_MAX], self.resolution, seed=self.seed)
        lines: list[str] = []
        if not self.session.finished:
            lines = self._train(plan, sample_every)
        tensors = load_file(self.session.path)
        samples = sampled(with_lora(self.base, tensors, self.session.key), plan, self.context.check)
        how = "was finished before; nothing was done" if self.session.moment is None else self.session.moment.text()
        return LoraResult(self.session.name, self.session.curve(), samples, "\n".join([f"{self.session.name}: {how}", *lines]))

    def _train(self, plan: SamplePlan, sample_every: int) -> list[str]:
        options = self.options
        lessons = lessons_of(
            self.base, self.dataset, resolution=self.resolution, bucketed=options.bucketed, flipped=options.flipped,
            caption_dropout=self.recipe.caption_dropout, told=self.context.text, check=self.context.check,
        )  # fmt: skip
        stage = LoraStage(self.base, lessons, self.recipe, self.seed, self.session.compute(options.precision))

        def paint() -> Picture:
            tensors = tensors_of(stage.changes())
            pictures = sampled(with_lora(self.base, tensors, f"{self.session.key}-{stage.step}"), plan, self.context.check)
            return Image.fromarray((sheet(list(pictures)).clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).numpy())

        self.session.run(stage, every=sample_every, paint=paint if sample_every else None)
        said = lora_metadata(
            self.base, self.dataset, self.recipe, name=self.session.name.removesuffix(".safetensors"),
            resolution=self.resolution, seed=self.seed, steps=stage.step,
        )  # fmt: skip
        lines = self._measured(stage)
        write_lora(self.session.path, tensors_of(stage.changes()), said | self.session.metadata())
        self.session.done()
        return lines

    def _measured(self, stage: LoraStage) -> list[str]:
        if not self.dataset.held_out:
            return []
        kept_back = lessons_of(
            self.base, self.dataset, resolution=self.resolution, bucketed=self.options.bucketed, caption_dropout=0.0, held_out=True
        )  # fmt: skip
        with stage.silenced():
            before = measured_loss(stage, kept_back)
        with stage.average.applied(stage.networks):
            after = measured_loss(stage, kept_back)
        return [f"loss on {len(self.dataset.held_out)} held-out pictures: {before:.4f} before, {after:.4f} after"]

    def _captions(self) -> tuple[str, ...]:
        return tuple(self.dataset.worded(example.captions[0]) for example in self.dataset.examples[:2])
