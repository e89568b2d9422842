"""Training of networks that need no denoiser: upscalers, restorers, readers of pictures, caption models."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.ports import Dataset, Range, Text, Tip, TrainingOptions
from marquetry.engine.usage import operation
from marquetry.nodes.training import BatchSize, Name, Rate, SeedInput, Steps, Trained, report_of, session_of

CATEGORY = "training/pictures"
USAGE = operation("train.finetune")
TRUTH_BYTES_MAX = 5_000_000


@node(id="TrainUpscaler", title="Train Upscaler", category=CATEGORY, lane="device", output_node=True, usage=USAGE, aliases=("super resolution", "restore face"))  # fmt: skip
def train_upscaler(
    dataset: Dataset,
    output_name: Name = "my_upscaler",
    purpose: Literal["upscale", "restore"] = "upscale",
    scale: Annotated[int, Range(2, 8), Tip("How much larger; when restoring, how badly detail was lost at the most.")] = 4,
    steps: Steps = 4000,
    batch_size: BatchSize = 8,
    learning_rate: Rate = 1e-3,
    features: Annotated[int, Range(8, 128)] = 32,
    convolutions: Annotated[int, Range(1, 32)] = 8,
    crop: Annotated[int, Range(16, 512)] = 96,
    blur: Annotated[float, Range(0.0, 8.0, step=0.1)] = 0.6,
    noise: Annotated[float, Range(0.0, 0.5, step=0.01)] = 0.01,
    jpeg_quality: Annotated[int, Range(5, 100), Tip("The least quality of the damaged pictures; 100 leaves compression out.")] = 100,
    seed: SeedInput = 0,
    options: TrainingOptions | None = None,
    *,
    context: Context,
) -> Trained:
    """Trains a network that enlarges pictures, or restores them at their size, by damaging good pictures and undoing it."""
    from marquetry.engine.training.degradation import Degradation
    from marquetry.engine.training.options import TrainingOptions as Options
    from marquetry.engine.training.upscaler import UpscalerRecipe, UpscalerStage, gain_over_lanczos_db, read_upscaler, write_upscaler

    chosen = options or Options()
    degradation = Degradation(scale, blur, noise, jpeg_quality, purpose == "restore")
    recipe = UpscalerRecipe(chosen.stage(steps, batch_size, learning_rate), degradation, features, convolutions, crop)
    session = session_of(context, "upscale_models", output_name, None, dataset, recipe, seed)
    lines: list[str] = []
    if not session.finished:
        stage = UpscalerStage(dataset, recipe, seed, session.compute(chosen.precision))
        session.run(stage)
        state = stage.trained()
        if purpose == "upscale" and dataset.held_out:
            gain = gain_over_lanczos_db(read_upscaler(state), [example.picture for example in dataset.held_out])
            lines.append(f"on {len(dataset.held_out)} held-out pictures {gain:+.2f} dB over Lanczos")
        write_upscaler(session.path, state, recipe, output_name, session.metadata())
        session.done()
    return Trained(session.name, session.curve(), report_of(session, *lines))


@node(id="TrainPictureReader", title="Train Picture Reader", category=CATEGORY, lane="device", output_node=True, usage=USAGE, aliases=("classifier", "attributes", "style", "light"))  # fmt: skip
def train_picture_reader(
    dataset: Dataset,
    truths: Annotated[
        str, Text(multiline=True), Tip('For each picture in order: [{"hair": "red", "style": "ink"}, ...], or [[x, y, z], ...] for light.')
    ],
    output_name: Name = "my_reader",
    steps: Steps = 2000,
    batch_size: BatchSize = 32,
    learning_rate: Rate = 2e-3,
    side: Annotated[int, Range(16, 512, step=16)] = 64,
    seed: SeedInput = 0,
    options: TrainingOptions | None = None,
    *,
    context: Context,
) -> Trained:
    """Trains a network that reads attributes (style among them), or the direction of light, from pictures."""
    from marquetry.engine.training.options import TrainingOptions as Options
    from marquetry.engine.training.readers import ReaderStage, write_reader
    from marquetry.engine.training.truths import read_truths

    if len(truths) > TRUTH_BYTES_MAX:
        raise NodeFailed(f"the truths take {len(truths):,} characters; at most {TRUTH_BYTES_MAX:,} are read")
    chosen = options or Options()
    facts, answers = read_truths(_json(truths), side, len(dataset))
    recipe = chosen.stage(steps, batch_size, learning_rate)
    session = session_of(context, "classifiers", output_name, None, dataset, recipe, truths, side, seed)
    if not session.finished:
        pictures = [example.picture for example in dataset.examples]
        stage = ReaderStage(pictures, answers, facts, recipe, seed, session.compute(chosen.precision))
        session.run(stage)
        write_reader(session.path, stage.trained(), output_name, session.metadata())
        session.done()
    return Trained(session.name, session.curve(), report_of(session))


@node(
    id="TrainCaptionModel",
    title="Train Caption Model",
    category=CATEGORY,
    lane="device",
    output_node=True,
    usage=USAGE,
    aliases=("caption",),
)
def train_caption_model(
    dataset: Dataset,
    output_name: Name = "my_captions",
    steps: Steps = 3000,
    batch_size: BatchSize = 32,
    learning_rate: Rate = 1e-3,
    side: Annotated[int, Range(16, 512, step=16)] = 64,
    patch: Annotated[int, Range(4, 32)] = 8,
    width: Annotated[int, Range(32, 512, step=32)] = 96,
    layers: Annotated[int, Range(1, 12)] = 2,
    seed: SeedInput = 0,
    options: TrainingOptions | None = None,
    *,
    context: Context,
) -> Trained:
    """Trains a small model that writes captions of pictures, in the words of the dataset's captions."""
    from marquetry.engine.training.captioner import CaptionerFacts, CaptionerStage, lexicon, write_captioner
    from marquetry.engine.training.options import TrainingOptions as Options

    if side % patch:
        raise NodeFailed(f"pictures of {side} can't be cut into patches of {patch}; choose a side that is a multiple")
    chosen = options or Options()
    facts = CaptionerFacts(lexicon(dataset), side, patch, width, layers)
    recipe = chosen.stage(steps, batch_size, learning_rate)
    session = session_of(context, "classifiers", output_name, None, dataset, recipe, facts, seed)
    if not session.finished:
        stage = CaptionerStage(dataset, recipe, seed, session.compute(chosen.precision), facts)
        session.run(stage)
        write_captioner(session.path, stage.trained(), output_name, session.metadata())
        session.done()
    return Trained(session.name, session.curve(), report_of(session))


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise NodeFailed(f"the truths are no JSON: {error}") from error
