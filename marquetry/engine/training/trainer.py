"""The whole training: autoencoder, latents, text encoder with UNet, and the finished file. Resumes where it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from marquetry.engine.training.autoencoder import AutoencoderStage, encode_all, normalise_latents, peak_signal_to_noise
from marquetry.engine.training.compute import Compute
from marquetry.engine.training.diffusion import DiffusionStage
from marquetry.engine.training.examples import Examples
from marquetry.engine.training.loop import Loop, Moment
from marquetry.engine.training.networks import build_autoencoder
from marquetry.engine.training.recipe import Recipe
from marquetry.engine.training.single_file import write_model
from marquetry.engine.training.stage import Stage

REPORT_STEPS = 20
PROBE_STEPS = 10
AUTOENCODER_END = 0.4
DIFFUSION_BEGIN = 0.46

Report = Callable[[str, float], None]
"""Told what is happening, and how much of it is done in 0..1."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where a training keeps its state, and whom it tells."""

    folder: Path
    resume: bool
    report: Report
    minutes: float | None = None

    def remembered(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """A tensor that is made once and read back where a training is resumed."""
        path = self.folder / f"{name}.pt"
        if self.resume and path.exists():
            read: Tensor = torch.load(path, weights_only=True)
            return read
        made = make()
        torch.save(made, path)
        return made

    def finish(self, stage: Stage, name: str, begin: float, end: float) -> None:
        """Runs a stage to its end, or to where its part of the minutes allows; saves about once a minute.

        The stage takes the whole training from `begin` to `end`, in 0..1.
        """
        path = self.folder / f"{name}.pt"
        if self.resume and path.exists():
            stage.load(path)
        elif self.minutes is not None:
            stage.steps = steps_within(stage, self.minutes * 60.0 * (end - begin))

        def tell(moment: Moment) -> None:
            if moment.step % REPORT_STEPS == 0:
                done = begin + (end - begin) * moment.step / moment.steps
                self.report(f"{name}: {moment.text()}", done)

        Loop(stage, path, resume=False, listener=tell).run()


def steps_within(stage: Stage, seconds: float) -> int:
    """How many steps fit, by the pace of the first few; never more than the recipe's."""
    stage.advance()
    begin = time.monotonic()
    for _ in range(PROBE_STEPS):
        stage.advance()
    pace = (time.monotonic() - begin) / PROBE_STEPS
    return max(stage.step, min(stage.recipe.steps, int(seconds / pace)))


def train(
    examples: Examples,
    recipe: Recipe,
    out: Path,
    workshop: Workshop,
    seed: int,
    facts: Mapping[str, str],
    device: torch.device | None = None,
) -> None:
    """Trains from nothing and writes the single file `out`. The same seed and recipe give the same file on the same kind of machine."""
    place = device or torch.device("cpu")
    torch.manual_seed(seed)
    workshop.folder.mkdir(parents=True, exist_ok=True)
    workshop.report("drawing the examples", 0.0)
    pictures = torch.from_numpy(examples.pictures())
    first = Compute(place, recipe.autoencoder.precision or "bfloat16")
    autoencoder = AutoencoderStage(build_autoencoder(recipe.networks), pictures, recipe.autoencoder, seed, first, recipe.autoencoder_crop)
    workshop.finish(autoencoder, "autoencoder", 0.0, AUTOENCODER_END)
    autoencoder.average.copy_to(autoencoder.autoencoder)
    normalise_latents(autoencoder.autoencoder, pictures[:2048])
    quality = peak_signal_to_noise(autoencoder.autoencoder, pictures[:256])
    workshop.report(f"autoencoder: {quality:.1f} dB", AUTOENCODER_END)
    latents = workshop.remembered("latents", lambda: encode_all(autoencoder.autoencoder, pictures))
    torch.manual_seed(seed + 1)
    diffusion = DiffusionStage(latents, examples, recipe, seed + 1, Compute(place, recipe.diffusion.precision or "float32"))
    workshop.finish(diffusion, "diffusion", DIFFUSION_BEGIN, 1.0)
    diffusion.average.copy_to(diffusion.networks)
    said = dict(facts) | {"marquetry.autoencoder_db": f"{quality:.1f}"}
    if recipe.prediction == "v_prediction":
        said["modelspec.prediction_type"] = "v"
    write_model(out, recipe.networks, states_of(autoencoder, diffusion), said)
    workshop.report(f"wrote {out}", 1.0)


def states_of(autoencoder: AutoencoderStage, diffusion: DiffusionStage) -> dict[str, dict[str, Tensor]]:
    """The finished networks' weights, with the table of words spread out over CLIP's vocabulary."""
    text = {name: weight.detach().cpu() for name, weight in diffusion.text_encoder.state_dict().items()}
    table = next(name for name in text if name.endswith("token_embedding.weight"))
    text[table] = diffusion.lexicon.spread(text[table])
    unet, pictures = diffusion.unet.state_dict(), autoencoder.autoencoder.state_dict()
    return {
        "unet": {name: weight.cpu() for name, weight in unet.items()},
        "autoencoder": {name: weight.cpu() for name, weight in pictures.items()},
        "text": text,
    }
