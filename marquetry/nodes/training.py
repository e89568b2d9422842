"""Training from pictures: LoRAs, whole models, models for few steps. The file goes to its model folder; cancelled, a training waits there."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.ports import Clip, Dataset, Image, Model, Named, Range, Seed, Text, Tip, TrainingOptions, Vae
from marquetry.engine.usage import Usage, operation

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from marquetry.engine.training.base_model import BaseModel

CATEGORY = "training"
SMALL_SET, LARGE_SET = 50, 200
Name = Annotated[str, Tip("The file's name; a number is added where the name is taken.")]
Steps = Annotated[int, Range(1, 200_000)]
BatchSize = Annotated[int, Range(1, 256)]
Rate = Annotated[float, Range(1e-7, 1.0, step=1e-6)]
Resolution = Annotated[int, Range(16, 2048, step=8), Tip("The side of the square whose area pictures are learnt at.")]
Every = Annotated[int, Range(0, 100_000), Tip("Pictures on the way, every so many steps; 0 makes none before the end.")]
Prompts = Annotated[str, Text(multiline=True), Tip("One line for each picture; without any, the first captions.")]
SeedInput = Annotated[int, Seed(control=False)]


class Trained(NamedTuple):
    NAME: Annotated[str, Tip("The finished file, as the loaders name it.")]
    LOSS_CURVE: Image
    REPORT: str


class TrainedWithSamples(NamedTuple):
    NAME: Annotated[str, Tip("The finished file, as the loaders name it.")]
    LOSS_CURVE: Image
    SAMPLES: Annotated[Image, Tip("What the finished file makes of the prompts.")]
    REPORT: str


@node(id="TrainingOptions", title="Training Options", category=CATEGORY)
def training_options(
    schedule: Literal["cosine", "linear", "constant"] = "cosine",
    warmup_steps: Annotated[int, Range(0, 10_000)] = 20,
    accumulation: Annotated[int, Range(1, 256), Tip("Batches that make up one step.")] = 1,
    gradient_norm_max: Annotated[float, Range(0.01, 100.0, step=0.01)] = 1.0,
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    optimiser: Annotated[Literal["adamw", "adamw8bit", "adafactor"], Tip("adamw8bit needs the package bitsandbytes.")] = "adamw",
    weight_decay: Annotated[float, Range(0.0, 1.0, step=0.001)] = 0.01,
    checkpointing: Annotated[bool, Tip("Saves memory, takes a third longer.")] = False,
    ema_decay: Annotated[float, Range(0.0, 0.9999, step=0.0001)] = 0.99,
    min_snr_gamma: Annotated[float, Range(0.0, 100.0, step=0.1), Tip("5 is usual; 0 counts all time steps equally.")] = 5.0,
    noise_offset: Annotated[float, Range(0.0, 1.0, step=0.01)] = 0.0,
    caption_dropout: Annotated[float, Range(0.0, 1.0, step=0.01)] = 0.1,
    buckets: Annotated[bool, Tip("Learns pictures in shapes near their own instead of as squares.")] = True,
    mirrored: Annotated[bool, Tip("Learns each picture mirrored too.")] = False,
) -> Annotated[TrainingOptions, Named("OPTIONS")]:
    """What can be set of every training."""
    from marquetry.engine.training.options import TrainingOptions as Options

    return Options(
        schedule, warmup_steps, accumulation, gradient_norm_max, None if precision == "auto" else precision, optimiser, weight_decay,
        checkpointing, ema_decay, min_snr_gamma, noise_offset, caption_dropout, buckets, mirrored,
    )  # fmt: skip


def lora_usage(inputs: Mapping[str, Any]) -> tuple[Usage, ...]:
    """Up to 50 pictures are a small training, every 200 begun a large one; while the count isn't known, a large one."""
    count = len(inputs["dataset"]) if hasattr(inputs.get("dataset"), "examples") else LARGE_SET
    return (Usage("train.lora50"),) if count <= SMALL_SET else (Usage("train.lora200", ceil(count / LARGE_SET)),)


@node(id="TrainLoRA", title="Train LoRA", category=CATEGORY, lane="device", output_node=True, usage=lora_usage, aliases=("lora", "kohya", "style", "character"))  # fmt: skip
def train_lora(
    model: Model,
    clip: Clip,
    vae: Vae,
    dataset: Dataset,
    output_name: Name = "my_lora",
    preset: Annotated[
        Literal["none", "character_fast", "style_fast", "lora50", "lora200"], Tip("Sets steps, rank and rates by the number of pictures.")
    ] = "none",
    steps: Steps = 500,
    batch_size: BatchSize = 2,
    learning_rate: Rate = 5e-4,
    rank: Annotated[int, Range(1, 256)] = 16,
    alpha: Annotated[float, Range(0.01, 512.0, step=0.01)] = 16.0,
    dropout: Annotated[float, Range(0.0, 0.9, step=0.01)] = 0.0,
    network: Literal["attention", "attention and convolutions"] = "attention",
    text_encoder_rate: Annotated[
        float, Range(0.0, 1.0, step=0.01), Tip("Over the learning rate; 0 leaves the text encoder as it is.")
    ] = 0.0,
    resolution: Resolution = 512,
    seed: SeedInput = 0,
    sample_every: Every = 0,
    sample_prompts: Prompts = "",
    options: TrainingOptions | None = None,
    *,
    context: Context,
) -> TrainedWithSamples:
    """Trains a LoRA in kohya's format. Held-out pictures, if there are any, say how much better the model now explains what it never saw."""
    from marquetry.engine.training.lora import LoraRecipe
    from marquetry.engine.training.lora_training import LoraTraining
    from marquetry.engine.training.low_rank import LowRankSizes
    from marquetry.engine.training.options import PRESETS
    from marquetry.engine.training.options import TrainingOptions as Options

    chosen = options or Options()
    text_rate = text_encoder_rate
    if preset != "none":
        plan = PRESETS[preset]
        steps, rank, alpha, learning_rate, text_rate = (
            plan.steps(len(dataset), batch_size),
            plan.rank,
            float(plan.rank),
            plan.learning_rate,
            plan.text_rate,
        )
    sizes = LowRankSizes(rank, alpha, dropout, max(1, rank // 2), max(0.01, alpha / 2))
    recipe = LoraRecipe(
        chosen.stage(steps, batch_size, learning_rate), sizes, network, text_rate, chosen.caption_dropout, objective_of(chosen)
    )
    training = LoraTraining(context, based(context, model, clip, vae), dataset, recipe, chosen, output_name, resolution, seed)
    done = training.run(sample_every, tuple(line.strip() for line in sample_prompts.splitlines() if line.strip()))
    return TrainedWithSamples(done.name, done.curve, done.samples, done.report)


@node(id="FineTune", title="Fine-Tune Model", category=CATEGORY, lane="device", output_node=True, usage=operation("train.finetune"), aliases=("training", "dreambooth"))  # fmt: skip
def fine_tune(
    model: Model,
    clip: Clip,
    vae: Vae,
    dataset: Dataset,
    output_name: Name = "my_model",
    steps: Steps = 2000,
    batch_size: BatchSize = 2,
    learning_rate: Rate = 1e-5,
    resolution: Resolution = 512,
    seed: SeedInput = 0,
    purpose: Annotated[
        Literal["pictures", "inpainting"], Tip("An inpainting model also sees the mask and the rest of the picture.")
    ] = "pictures",
    options: TrainingOptions | None = None,
    *,
    context: Context,
) -> Trained:
    """Trains the whole denoiser further, and writes a checkpoint with the base's text encoder and autoencoder."""
    from marquetry.engine.training.checkpoint_file import write_checkpoint
    from marquetry.engine.training.fine_tune import FineTuneRecipe, FineTuneStage
    from marquetry.engine.training.inpainting import InpaintingStage
    from marquetry.engine.training.options import TrainingOptions as Options

    chosen = options or Options()
    base = based(context, model, clip, vae)
    recipe = FineTuneRecipe(chosen.stage(steps, batch_size, learning_rate), chosen.caption_dropout, objective_of(chosen))
    session = session_of(context, "checkpoints", output_name, base, dataset, recipe, chosen, resolution, seed, purpose)
    if not session.finished:
        lessons = lessons_for(base, dataset, chosen, resolution, context)
        compute = session.compute(chosen.precision)
        inpaints = purpose == "inpainting"
        stage = (
            InpaintingStage(base, lessons, recipe, seed, compute, context.check)
            if inpaints
            else FineTuneStage(base, lessons, recipe, seed, compute)
        )
        session.run(stage)
        write_checkpoint(session.path, base, stage.trained(), {"modelspec.title": output_name} | session.metadata())
        session.done()
    return Trained(session.name, session.curve(), report_of(session))


@node(id="DistillModel", title="Distil Model to Few Steps", category=CATEGORY, lane="device", output_node=True, usage=operation("train.finetune"), aliases=("lcm", "turbo", "lightning"))  # fmt: skip
def distill_model(
    model: Model,
    clip: Clip,
    vae: Vae,
    dataset: Dataset,
    output_name: Name = "my_lcm",
    student: Annotated[Literal["lora", "whole"], Tip("A LoRA for this model and its kin, or a whole checkpoint.")] = "lora",
    steps: Steps = 1000,
    batch_size: BatchSize = 4,
    learning_rate: Rate = 2e-4,
    rank: Annotated[int, Range(1, 256)] = 64,
    guidance: Annotated[float, Range(1.0, 20.0, step=0.1), Tip("Becomes part of the student, which is then used with guidance 1.")] = 4.0,
    resolution: Resolution = 512,
    seed: SeedInput = 0,
    options: TrainingOptions | None = None,
    *,
    context: Context,
) -> Trained:
    """Teaches a student to reach in four steps or so what the model reaches in many. Use it with the sampler lcm and ModelSamplingDiscrete's lcm."""
    from marquetry.engine.training.checkpoint_file import write_checkpoint
    from marquetry.engine.training.distillation import DistillationRecipe, DistillationStage
    from marquetry.engine.training.lora_file import tensors_of, write_lora
    from marquetry.engine.training.low_rank import LowRankSizes
    from marquetry.engine.training.options import TrainingOptions as Options

    chosen = options or Options(ema_decay=0.95)
    base = based(context, model, clip, vae)
    sizes = LowRankSizes(rank, float(rank), 0.0, rank, float(rank))
    recipe = DistillationRecipe(chosen.stage(steps, batch_size, learning_rate), student, sizes, (guidance, guidance))
    session = session_of(
        context, "loras" if student == "lora" else "checkpoints", output_name, base, dataset, recipe, chosen, resolution, seed
    )
    if not session.finished:
        stage = DistillationStage(
            base, lessons_for(base, dataset, chosen, resolution, context), recipe, seed, session.compute(chosen.precision)
        )
        session.run(stage)
        facts = {"modelspec.title": output_name, "marquetry.guidance": str(guidance)} | session.metadata()
        if student == "lora":
            facts |= {
                "modelspec.architecture": f"{base.architecture}/lora",
                "ss_base_model_version": base.base_version,
                "ss_network_module": "networks.lora",
            }
            write_lora(session.path, tensors_of(stage.changes()), facts)
        else:
            write_checkpoint(session.path, base, stage.trained(), facts)
        session.done()
    return Trained(session.name, session.curve(), report_of(session))


def based(context: Context, model: Any, clip: Any, vae: Any) -> BaseModel:
    """The base of a training, with its file's name and hash where the file is found again."""
    from marquetry.engine.models.fingerprint import quick_fingerprint
    from marquetry.engine.training.base_model import BaseModel

    store = context.models.store
    for kind in ("checkpoints", "diffusion_models"):
        for name in store.names(kind):
            path = store.path(kind, name)
            if model is not None and model.fingerprint and model.fingerprint in (store.fingerprint_of(path), quick_fingerprint(path)):
                return BaseModel(model, clip, vae, name, store.hashes.sha256(path))
    return BaseModel(model, clip, vae)


def objective_of(options: Any) -> Any:
    """What of the options concerns noise."""
    from marquetry.engine.training.denoising import Objective

    return Objective(options.min_snr_gamma, options.noise_offset)


def session_of(context: Context, kind: str, name: str, base: BaseModel | None, dataset: Any, *settings: Any) -> Any:
    """A session that equal settings on an equal base and dataset find again."""
    from marquetry.engine.training.session import TrainingSession

    based_on = None if base is None else base.identity
    return TrainingSession(context, kind, name, {"base": based_on, "dataset": dataset.key(), "settings": settings})


def lessons_for(base: BaseModel, dataset: Any, options: Any, resolution: int, context: Context, **changes: Any) -> Any:
    """The dataset, encoded as the options say."""
    from marquetry.engine.training.lessons import lessons_of

    wanted = {"bucketed": options.bucketed, "flipped": options.flipped, "caption_dropout": options.caption_dropout} | changes
    return lessons_of(base, dataset, resolution=resolution, told=context.text, check=context.check, **wanted)


def report_of(session: Any, *more: str) -> str:
    """What happened, in a few lines."""
    how = "was finished before; nothing was done" if session.moment is None else session.moment.text()
    return "\n".join([f"{session.name}: {how}", *more])


def shown(pictures: Any) -> Picture:
    """The first of IMAGE `[N, H, W, 3]` as a picture for a preview."""
    from PIL import Image as Pillow

    return Pillow.fromarray((pictures[0].clamp(0.0, 1.0) * 255.0).round().byte().numpy())
