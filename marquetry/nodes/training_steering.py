"""Training of what steers a model: ControlNets, image encoders with IP-Adapters, motion modules."""

from __future__ import annotations

from typing import Annotated, Literal

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.ports import Clip, Dataset, File, Image, Model, Range, Text, Tip, TrainingOptions, Vae
from marquetry.engine.usage import operation
from marquetry.nodes.training import (
    BatchSize,
    Name,
    Rate,
    Resolution,
    SeedInput,
    Steps,
    Trained,
    based,
    lessons_for,
    objective_of,
    report_of,
    session_of,
)

CATEGORY = "training/steering"
USAGE = operation("train.finetune")


@node(
    id="TrainControlNet", title="Train ControlNet", category=CATEGORY, lane="device", output_node=True, usage=USAGE, aliases=("controlnet",)
)
def train_control_net(
    model: Model,
    clip: Clip,
    vae: Vae,
    dataset: Annotated[Dataset, Tip("Every picture with its steering picture, from Steering Pictures for Dataset.")],
    output_name: Name = "my_controlnet",
    layout: Annotated[Literal["original", "diffusers"], Tip("The names in the file; most products read both.")] = "original",
    steps: Steps = 3000,
    batch_size: BatchSize = 2,
    learning_rate: Rate = 1e-4,
    resolution: Resolution = 512,
    seed: SeedInput = 0,
    options: TrainingOptions | None = None,
    *,
    context: Context,
) -> Trained:
    """Trains a network that steers the model by pictures such as edges. It begins as a copy of the model that changes nothing."""
    from marquetry.engine.models.stable_diffusion import sizes_of
    from marquetry.engine.training.controlnet import ControlNetRecipe, ControlNetStage
    from marquetry.engine.training.controlnet_file import write_controlnet
    from marquetry.engine.training.options import TrainingOptions as Options

    chosen = options or Options(caption_dropout=0.3)
    base = based(context, model, clip, vae)
    recipe = ControlNetRecipe(chosen.stage(steps, batch_size, learning_rate), chosen.caption_dropout, objective_of(chosen))
    session = session_of(context, "controlnet", output_name, base, dataset, recipe, chosen, resolution, seed, layout)
    if not session.finished:
        stage = ControlNetStage(
            base, lessons_for(base, dataset, chosen, resolution, context), recipe, seed, session.compute(chosen.precision)
        )
        session.run(stage)
        denoiser = base.model.found.denoiser
        assert denoiser is not None
        facts = {"modelspec.title": output_name, "modelspec.architecture": f"{base.architecture}/controlnet"} | session.metadata()
        with stage.average.applied(stage.networks):
            write_controlnet(session.path, stage.controlnet.state_dict(), sizes_of(denoiser), facts, layout)
        session.done()
    return Trained(session.name, session.curve(), report_of(session))


@node(id="TrainImageEncoder", title="Train Image Encoder", category=CATEGORY, lane="device", output_node=True, usage=USAGE, aliases=("clip vision",))  # fmt: skip
def train_image_encoder(
    model: Model,
    clip: Clip,
    vae: Vae,
    dataset: Dataset,
    output_name: Name = "my_eyes",
    steps: Steps = 3000,
    batch_size: BatchSize = 32,
    learning_rate: Rate = 1e-3,
    image_size: Annotated[int, Range(16, 512, step=8)] = 64,
    patch_size: Annotated[int, Range(4, 64)] = 8,
    width: Annotated[int, Range(32, 1024, step=32)] = 128,
    layers: Annotated[int, Range(1, 24)] = 4,
    seed: SeedInput = 0,
    options: TrainingOptions | None = None,
    *,
    context: Context,
) -> Trained:
    """Trains a small image encoder of CLIP's kind: pictures and their captions come to lie together."""
    from marquetry.engine.training.image_encoder import EncoderRecipe, EncoderStage, write_encoder
    from marquetry.engine.training.options import TrainingOptions as Options

    if image_size % patch_size:
        raise NodeFailed(f"pictures of {image_size} can't be cut into patches of {patch_size}; choose a size that is a multiple")
    chosen = options or Options()
    base = based(context, model, clip, vae)
    recipe = EncoderRecipe(chosen.stage(steps, batch_size, learning_rate), image_size, patch_size, width, layers, width)
    session = session_of(context, "clip_vision", output_name, base, dataset, recipe, seed)
    if not session.finished:
        stage = EncoderStage(base, dataset, recipe, seed, session.compute(chosen.precision))
        session.run(stage)
        write_encoder(session.path, stage.trained(), recipe, output_name, session.metadata())
        session.done()
    return Trained(session.name, session.curve(), report_of(session))


@node(id="TrainIPAdapter", title="Train IP-Adapter", category=CATEGORY, lane="device", output_node=True, usage=USAGE, aliases=("ip adapter", "reference"))  # fmt: skip
def train_ip_adapter(
    model: Model,
    clip: Clip,
    vae: Vae,
    dataset: Dataset,
    encoder: Annotated[str, File("clip_vision"), Tip("An image encoder, as Train Image Encoder writes them.")],
    output_name: Name = "my_ip_adapter",
    steps: Steps = 3000,
    batch_size: BatchSize = 4,
    learning_rate: Rate = 2e-4,
    picture_dropout: Annotated[float, Range(0.0, 1.0, step=0.01)] = 0.1,
    resolution: Resolution = 512,
    seed: SeedInput = 0,
    options: TrainingOptions | None = None,
    *,
    context: Context,
) -> Trained:
    """Trains an adapter through which a picture steers the model, as one encoder sees pictures. The file goes to the folder ipadapter."""
    from marquetry.engine.training.image_encoder import read_encoder
    from marquetry.engine.training.ip_adapter import IPAdapterRecipe, IPAdapterStage, write_ip_adapter
    from marquetry.engine.training.options import TrainingOptions as Options

    chosen = options or Options(caption_dropout=0.3)
    base = based(context, model, clip, vae)
    path = context.folders.full_path("clip_vision", encoder)
    seen_by = context.models.store.hashes.sha256(path)
    recipe = IPAdapterRecipe(chosen.stage(steps, batch_size, learning_rate), chosen.caption_dropout, picture_dropout, objective_of(chosen))
    session = session_of(context, "ipadapter", output_name, base, dataset, recipe, chosen, resolution, seed, seen_by)
    if not session.finished:
        lessons = lessons_for(base, dataset, chosen, resolution, context)
        stage = IPAdapterStage(base, read_encoder(path), lessons, recipe, seed, session.compute(chosen.precision))
        session.run(stage)
        facts = {"modelspec.title": output_name, "marquetry.image_encoder": encoder, "marquetry.image_encoder_hash": seen_by}
        write_ip_adapter(session.path, stage.trained(), facts | session.metadata())
        session.done()
    return Trained(session.name, session.curve(), report_of(session))


@node(id="TrainMotionModule", title="Train Motion Module", category=CATEGORY, lane="device", output_node=True, usage=USAGE, aliases=("animatediff", "video"))  # fmt: skip
def train_motion_module(
    model: Model,
    clip: Clip,
    vae: Vae,
    frames: Annotated[Image, Tip("Clips one after another, each of as many frames as the next input says.")],
    frames_per_clip: Annotated[int, Range(2, 1024)],
    captions: Annotated[str, Text(multiline=True), Tip("One line for each clip.")],
    output_name: Name = "my_motion",
    frames_at_once: Annotated[int, Range(2, 64)] = 16,
    steps: Steps = 3000,
    batch_size: BatchSize = 1,
    learning_rate: Rate = 1e-4,
    resolution: Resolution = 256,
    seed: SeedInput = 0,
    options: TrainingOptions | None = None,
    *,
    context: Context,
) -> Trained:
    """Trains motion modules of AnimateDiff's kind on short clips. The file goes to the folder animatediff_models."""
    from marquetry.engine.training.dataset import as_bytes, from_memory
    from marquetry.engine.training.motion import MotionRecipe, MotionStage, encode_clips, write_motion_module
    from marquetry.engine.training.options import TrainingOptions as Options

    if len(frames) % frames_per_clip:
        raise NodeFailed(f"{len(frames)} frames can't be cut into clips of {frames_per_clip}")
    chosen = options or Options()
    base = based(context, model, clip, vae)
    clips = [as_bytes(part) for part in frames.reshape(-1, frames_per_clip, *frames.shape[1:])]
    texts = [line.strip() for line in captions.splitlines()] if captions.strip() else [""] * len(clips)
    recipe = MotionRecipe(chosen.stage(steps, batch_size, learning_rate), frames_at_once, chosen.caption_dropout, objective_of(chosen))
    pictured = from_memory([frame for each in clips for frame in each], [""] * len(frames))
    session = session_of(context, "animatediff_models", output_name, base, pictured, recipe, texts, resolution, seed, frames_per_clip)
    if not session.finished:
        encoded = encode_clips(base, clips, texts, resolution=resolution, frames=frames_at_once, check=context.check)
        stage = MotionStage(base, encoded, recipe, seed, session.compute(chosen.precision))
        session.run(stage)
        write_motion_module(session.path, stage.trained(), {"modelspec.title": output_name} | session.metadata())
        session.done()
    return Trained(session.name, session.curve(), report_of(session))
