"""Loader nodes: ComfyUI's ids, inputs, defaults and outputs, and what they load."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from marquetry.engine.context import Context, Services
from marquetry.engine.declare import node_type
from marquetry.engine.errors import ModelFormatError, NodeFailed
from marquetry.engine.folders import Folders
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.registry import describe
from marquetry.nodes import loaders
from tests.checkpoints import networks, original_checkpoint, write_checkpoint, write_folder, write_parts


@pytest.fixture
def context(tmp_path: Path) -> Context:
    folders = Folders(tmp_path)
    folders.create()
    write_checkpoint(folders.models / "checkpoints/a.safetensors")
    return Context(
        Services(folders, ModelLibrary(folders, device="cpu", budget_bytes=2**30)), prompt={"1": {"class_type": "CheckpointSave"}}
    )


def inputs(function: Any, folders: Folders) -> dict[str, list[str]]:
    return {section: list(names) for section, names in describe(node_type(function), folders)["input"].items()}


@pytest.mark.parametrize(
    ("function", "id", "names", "outputs"),
    [
        (loaders.load_checkpoint, "CheckpointLoaderSimple", ["ckpt_name"], ["MODEL", "CLIP", "VAE"]),
        (loaders.load_checkpoint_with_config, "CheckpointLoader", ["config_name", "ckpt_name"], ["MODEL", "CLIP", "VAE"]),
        (loaders.load_diffusers, "DiffusersLoader", ["model_path"], ["MODEL", "CLIP", "VAE"]),
        (loaders.load_diffusion_model, "UNETLoader", ["unet_name", "weight_dtype"], ["MODEL"]),
        (loaders.load_clip, "CLIPLoader", ["clip_name", "type"], ["CLIP"]),
        (loaders.load_two_clips, "DualCLIPLoader", ["clip_name1", "clip_name2", "type"], ["CLIP"]),
        (loaders.load_vae, "VAELoader", ["vae_name"], ["VAE"]),
        (loaders.load_video_checkpoint, "ImageOnlyCheckpointLoader", ["ckpt_name"], ["MODEL", "CLIP_VISION", "VAE"]),
        (loaders.load_gligen, "GLIGENLoader", ["gligen_name"], ["GLIGEN"]),
        (loaders.save_checkpoint, "CheckpointSave", ["model", "clip", "vae", "filename_prefix"], []),
    ],
)
def test_shape_is_comfyuis(context: Context, function: Any, id: str, names: list[str], outputs: list[str]) -> None:
    described = describe(node_type(function), context.folders)

    assert (described["name"], list(described["input"]["required"]), described["output"]) == (id, names, outputs)


def test_files_of_the_folder_are_the_choices(context: Context) -> None:
    assert describe(node_type(loaders.load_checkpoint), context.folders)["input"]["required"]["ckpt_name"][0] == ["a.safetensors"]


def test_checkpoint_gives_three_parts(context: Context) -> None:
    loaded = loaders.load_checkpoint("a.safetensors", context)

    assert loaded.MODEL.family == loaded.CLIP.family == loaded.VAE.family == "sd1"


def test_checkpoint_of_a_denoiser_alone_gives_no_text_encoder(context: Context) -> None:
    state = {name: tensor for name, tensor in original_checkpoint(networks()).items() if name.startswith("model.")}
    save_file(state, context.folders.models / "checkpoints/unet.safetensors")

    loaded = loaders.load_checkpoint("unet.safetensors", context)

    assert (loaded.CLIP, loaded.VAE) == (None, None)


@pytest.mark.parametrize(("parameterization", "prediction"), [("v", "v_prediction"), ("eps", "epsilon")])
def test_configuration_says_what_is_predicted(context: Context, parameterization: str, prediction: str) -> None:
    (context.folders.models / "configs/x.yaml").write_text(f"model:\n  params:\n    parameterization: {parameterization}\n")

    assert loaders.load_checkpoint_with_config("x.yaml", "a.safetensors", context).MODEL.sampling.prediction == prediction


def test_configuration_of_another_form_is_refused(context: Context) -> None:
    (context.folders.models / "configs/x.yaml").write_text("- 1\n")

    with pytest.raises(NodeFailed, match=r"x\.yaml is no configuration"):
        loaders.load_checkpoint_with_config("x.yaml", "a.safetensors", context)


def test_diffusers_folder_is_loaded(context: Context) -> None:
    write_folder(context.folders.models / "diffusers/some")

    assert loaders.load_diffusers("some", context).MODEL.family == "sd1"


def test_parts_are_loaded_from_files_of_their_own(context: Context) -> None:
    paths = write_parts(context.folders.data / "parts")
    for part, kind in (("unet", "diffusion_models"), ("text_encoder", "text_encoders"), ("vae", "vae")):
        context.folders.add_model_folder(kind, paths[part].parent)

    assert loaders.load_diffusion_model(paths["unet"].name, "default", context).family == "sd1"
    assert loaders.load_clip(paths["text_encoder"].name, "stable_diffusion", context=context).width == 64
    assert loaders.load_vae(paths["vae"].name, context).latent_channels == 4
    with pytest.raises(ModelFormatError, match="reads a denoiser from this file"):
        loaders.load_diffusion_model(paths["vae"].name, "default", context)


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (loaders.load_video_checkpoint, "checkpoints"),
        (loaders.load_gligen, "gligen"),
    ],
)
def test_what_is_not_served_yet_is_named_after_a_look_at_the_file(context: Context, function: Any, kind: str) -> None:
    save_file({"some.block.weight": torch.zeros(1)}, context.folders.models / kind / "x.safetensors")

    with pytest.raises(NodeFailed, match=r"x\.safetensors: detected 1 tensors named some\.block\.\*"):
        function("x.safetensors", context)


def test_saved_parts_make_the_same_checkpoint_again(context: Context) -> None:
    model, clip, vae = loaders.load_checkpoint("a.safetensors", context)

    saved = loaders.save_checkpoint(model, clip, vae, context=context)
    loaders.save_model(model, context=context)
    loaders.save_clip(clip, context=context)
    loaders.save_vae(vae, context=context)

    assert saved.ui == {"models": [{"filename": "ComfyUI_00001_.safetensors", "subfolder": "checkpoints", "type": "output"}]}
    whole = load_file(context.folders.output / "checkpoints/ComfyUI_00001_.safetensors")
    original = load_file(context.folders.models / "checkpoints/a.safetensors")
    parts: dict[str, torch.Tensor] = {}
    for name in ("diffusion_models/ComfyUI", "clip/ComfyUI", "vae/ComfyUI_vae"):
        parts |= load_file(context.folders.output / f"{name}_00001_.safetensors")
    assert whole.keys() == original.keys() == parts.keys()
    assert all(torch.equal(whole[name], original[name]) for name in whole)
