"""Trains the built-in model from nothing: `python -m marquetry.nodes.world.builtin --out model.safetensors`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from marquetry.nodes.world.lessons import WorldLessons
from marquetry.nodes.world.render import PICTURE_SIZE

if TYPE_CHECKING:
    from marquetry.engine.training.recipe import Recipe

BUILTIN_MODEL = Path(__file__).parents[2] / "models" / "builtin" / "marquetry-mini.safetensors"
LESSONS_COUNT = 20_000
BUILTIN_SEED = 0


def train_builtin(
    out: Path,
    *,
    resume: bool = False,
    seed: int = BUILTIN_SEED,
    report: Callable[[str, float], None],
    minutes: float | None = None,
    recipe: Recipe | None = None,
    lessons_count: int = LESSONS_COUNT,
) -> None:
    """Writes the built-in model to `out`; state for resuming lies beside it until the file is done.

    Without `minutes` the same seed gives the same file; with it, training is shortened to fit on a slow machine.
    """
    from marquetry.engine.training.recipe import Recipe
    from marquetry.engine.training.trainer import Workshop, train

    chosen = recipe or Recipe()
    workshop = Workshop(out.with_suffix(".training"), resume, report, minutes)
    train(WorldLessons(lessons_count, seed), chosen, out, workshop, seed, model_facts(chosen, seed, lessons_count))
    for state in workshop.folder.glob("*.pt"):
        state.unlink()
    workshop.folder.rmdir()


def model_facts(recipe: Recipe, seed: int, lessons_count: int) -> dict[str, str]:
    """What the file says of itself."""
    sizes = recipe.networks
    return {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "stable-diffusion-v1",
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.title": "Marquetry mini",
        "modelspec.description": "Simple scenes (subject, colour, setting, day or night), trained from nothing on drawn pictures.",
        "modelspec.author": "Marquetry",
        "modelspec.license": "Apache-2.0",
        "modelspec.resolution": f"{PICTURE_SIZE}x{PICTURE_SIZE}",
        "modelspec.prediction_type": "epsilon",
        "modelspec.encoder_layer": "1",
        "format": "pt",
        "marquetry.text_heads": str(max(1, sizes.text_width // 64)),
        "marquetry.unet_heads": "8",
        "marquetry.training": json.dumps(
            {
                "lessons": lessons_count,
                "seed": seed,
                "autoencoder_steps": recipe.autoencoder.steps,
                "autoencoder_batch": recipe.autoencoder.batch,
                "diffusion_steps": recipe.diffusion.steps,
                "diffusion_batch": recipe.diffusion.batch,
            }
        ),
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=train_builtin.__doc__)
    parser.add_argument("--out", type=Path, default=BUILTIN_MODEL)
    parser.add_argument("--resume", action="store_true", help="go on where an earlier run stopped")
    parser.add_argument("--seed", type=int, default=BUILTIN_SEED)
    parser.add_argument("--minutes", type=float, default=None, help="shorten the training to about this long")
    options = parser.parse_args()
    begin = time.monotonic()

    def report(text: str, share: float) -> None:
        print(f"{(time.monotonic() - begin) / 60:6.1f} min  {share:5.0%}  {text}", flush=True)

    train_builtin(options.out, resume=options.resume, seed=options.seed, report=report, minutes=options.minutes)


if __name__ == "__main__":
    main()
