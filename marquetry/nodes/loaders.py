"""Loading models from files, and saving them: checkpoints, and denoisers, text encoders and autoencoders by themselves."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.outcome import NodeOutput
from marquetry.engine.ports import Advanced, Clip, ClipVision, File, Model, Optional, Port, Text, Tip, Vae
from marquetry.engine.saving import FileSeries

if TYPE_CHECKING:
    from torch import Tensor

HIDDEN = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
Gligen = Annotated[Any, Port("GLIGEN")]
CheckpointFile = Annotated[str, File("checkpoints"), Tip("The file that holds denoiser, text encoder and autoencoder.")]
WeightDtype = Literal["default", "fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"]
ClipType = Literal[
    "stable_diffusion", "stable_cascade", "sd3", "stable_audio", "mochi", "ltxv", "pixart", "cosmos", "lumina2", "wan", "hidream",
    "chroma", "ace", "omnigen2", "qwen_image", "hunyuan_image",
]  # fmt: skip
DualClipType = Literal["sdxl", "sd3", "flux", "hunyuan_video", "hidream", "hunyuan_image"]
TextFile = Annotated[str, File("text_encoders")]
EncoderDevice = Annotated[Literal["default", "cpu"], Optional, Advanced]


class Loaded(NamedTuple):
    MODEL: Annotated[Model, Tip("Makes latents from noise.")]
    CLIP: Annotated[Clip, Tip("Encodes prompts.")]
    VAE: Annotated[Vae, Tip("Turns pictures into latents and back.")]


class VideoLoaded(NamedTuple):
    MODEL: Model
    CLIP_VISION: ClipVision
    VAE: Vae


@node(id="CheckpointLoaderSimple", title="Load Checkpoint", category="loaders", aliases=("model", "load model"))
def load_checkpoint(ckpt_name: CheckpointFile, context: Context) -> Loaded:
    """Loads a checkpoint: safetensors in the original layout or diffusers', or a torch file. Its family is found out from its tensors."""
    return Loaded(*context.models.load_checkpoint(ckpt_name))


@node(
    id="CheckpointLoader", title="Load Checkpoint With Config (DEPRECATED)", category="advanced/loaders", deprecated=True
)  # fmt: skip
def load_checkpoint_with_config(config_name: Annotated[str, File("configs")], ckpt_name: CheckpointFile, context: Context) -> Loaded:
    """Loads a checkpoint. Of the configuration only the kind of prediction is read; the rest is found out from the tensors."""
    model, clip, vae = context.models.load_checkpoint(ckpt_name)
    if _predicts_velocity(context, config_name):
        model = model.with_sampling(model.sampling.with_prediction("v_prediction"))  # type: ignore[attr-defined]
    return Loaded(model, clip, vae)


@node(id="DiffusersLoader", title="DiffusersLoader", category="advanced/loaders/deprecated")
def load_diffusers(model_path: Annotated[str, File("diffusers")], context: Context) -> Loaded:
    """Loads a folder in diffusers' layout, as `save_pretrained` writes it."""
    return Loaded(*context.models.load_checkpoint(model_path, "diffusers"))


@node(id="UNETLoader", title="Load Diffusion Model", category="advanced/loaders")
def load_diffusion_model(unet_name: Annotated[str, File("diffusion_models")], weight_dtype: WeightDtype, context: Context) -> Model:
    """Loads a denoiser from a file of its own. The fp8 types keep its weights in a quarter of float32's memory, rounded."""
    return context.models.load_diffusion_model(unet_name, weight_dtype)


@node(id="CLIPLoader", title="Load CLIP", category="advanced/loaders")
def load_clip(
    clip_name: Annotated[str, File("text_encoders")], type: ClipType, device: EncoderDevice = "default", *, context: Context
) -> Clip:
    """Loads a text encoder from a file of its own. SD1 uses CLIP ViT-L, SD2 OpenCLIP ViT-H; which it is shows in the file.

    `device`: the worker decides where networks stand, within its budget.
    """
    return context.models.load_text_encoder((clip_name,), type)


@node(id="DualCLIPLoader", title="DualCLIPLoader", category="advanced/loaders")
def load_two_clips(
    clip_name1: Annotated[str, File("text_encoders")],
    clip_name2: Annotated[str, File("text_encoders")],
    type: DualClipType,
    device: EncoderDevice = "default",
    *,
    context: Context,
) -> Clip:
    """Loads two text encoders for the families that read both."""
    return context.models.load_text_encoder((clip_name1, clip_name2), type)


@node(id="TripleCLIPLoader", title="TripleCLIPLoader", category="advanced/loaders")
def load_three_clips(clip_name1: TextFile, clip_name2: TextFile, clip_name3: TextFile, context: Context) -> Clip:
    """Loads the three text encoders of Stable Diffusion 3, in any order."""
    return context.models.load_text_encoder((clip_name1, clip_name2, clip_name3), "sd3")


@node(id="QuadrupleCLIPLoader", title="QuadrupleCLIPLoader", category="advanced/loaders")
def load_four_clips(clip_name1: TextFile, clip_name2: TextFile, clip_name3: TextFile, clip_name4: TextFile, context: Context) -> Clip:
    """Loads the four text encoders of HiDream, in any order."""
    return context.models.load_text_encoder((clip_name1, clip_name2, clip_name3, clip_name4), "hidream")


@node(id="VAELoader", title="Load VAE", category="loaders")
def load_vae(vae_name: Annotated[str, File("vae")], context: Context) -> Vae:
    """Loads an autoencoder from a file of its own, in the original layout or diffusers'."""
    return context.models.load_vae(vae_name)


@node(id="ImageOnlyCheckpointLoader", title="Image Only Checkpoint Loader (img2vid model)", category="loaders/video_models")
def load_video_checkpoint(ckpt_name: Annotated[str, File("checkpoints")], context: Context) -> VideoLoaded:
    """Loads a checkpoint that is steered by a picture in place of a prompt."""
    raise _unserved(context, "checkpoints", ckpt_name, "a picture-to-video model")


@node(id="GLIGENLoader", title="GLIGENLoader", category="loaders")
def load_gligen(gligen_name: Annotated[str, File("gligen")], context: Context) -> Gligen:
    """Loads a network that places what a prompt names."""
    raise _unserved(context, "gligen", gligen_name, "a GLIGEN model")


@node(id="CheckpointSave", title="Save Checkpoint", category="advanced/model_merging", output_node=True, hidden=HIDDEN)
def save_checkpoint(
    model: Model, clip: Clip, vae: Vae, filename_prefix: Annotated[str, Text()] = "checkpoints/ComfyUI", *, context: Context
) -> NodeOutput[None]:
    """Saves all three parts as one safetensors file in the original layout, adapters merged in, with the graph as metadata."""
    return _save(context, filename_prefix, model=model, clip=clip, vae=vae)


@node(id="ModelSave", title="ModelSave", category="advanced/model_merging", output_node=True, hidden=HIDDEN)
def save_model(model: Model, filename_prefix: Annotated[str, Text()] = "diffusion_models/ComfyUI", *, context: Context) -> NodeOutput[None]:
    """Saves a denoiser as safetensors in the original layout, adapters merged in."""
    return _save(context, filename_prefix, model=model)


@node(id="CLIPSave", title="CLIPSave", category="advanced/model_merging", output_node=True, hidden=HIDDEN)
def save_clip(clip: Clip, filename_prefix: Annotated[str, Text()] = "clip/ComfyUI", *, context: Context) -> NodeOutput[None]:
    """Saves a text encoder as safetensors in the original layout, adapters merged in."""
    return _save(context, filename_prefix, clip=clip)


@node(id="VAESave", title="VAESave", category="advanced/model_merging", output_node=True, hidden=HIDDEN)
def save_vae(vae: Vae, filename_prefix: Annotated[str, Text()] = "vae/ComfyUI_vae", *, context: Context) -> NodeOutput[None]:
    """Saves an autoencoder as safetensors in the original layout."""
    return _save(context, filename_prefix, vae=vae)


def _save(context: Context, prefix: str, **parts: Any) -> NodeOutput[None]:
    from marquetry.engine.models.save import checkpoint_state, metadata_of, save_safetensors

    series = FileSeries(context.folders, "output", prefix)
    state: dict[str, Tensor] = checkpoint_state(**parts)
    whole = series.folder / f".{uuid.uuid4().hex}.safetensors"
    try:
        save_safetensors(state, whole, metadata_of(parts.get("model"), context.prompt, context.extra))
        saved = series.adopt(whole, ".safetensors")
    finally:
        whole.unlink(missing_ok=True)
    return NodeOutput(ui={"models": [saved]})


def _unserved(context: Context, kind: str, name: str, what: str) -> NodeFailed:
    """The error for a file that no family serves, after a look at what it really is."""
    from marquetry.engine.models.families.registry import describe_layout, recognise

    header = context.models.store.header(kind, name)
    found = recognise(header)
    layout = f"{', '.join(found.parts)} of {found.family}" if found is not None else describe_layout(header)
    return NodeFailed(f"no installed family reads {what} from {name}: detected {layout}", kind=kind, name=name)


def _predicts_velocity(context: Context, config_name: str) -> bool:
    import yaml

    path = context.folders.full_path("configs", config_name)
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        return bool(document["model"]["params"].get("parameterization") == "v")
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise NodeFailed(f"{config_name} is no configuration of a latent-diffusion model") from error
