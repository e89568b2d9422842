"""A tiny real file under every name that the open image templates name: its family, its layout, its number type; random weights."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import torch
from safetensors.torch import save_file

from marquetry.engine.folders import Folders
from tests.templates import flux_weights, picture_weights, qwen_image_weights, sd3_weights, sdxl_weights, stable_diffusion_weights
from tests.templates.numbers import State

Maker: TypeAlias = Callable[[], State]
sd, xl, sd3, flux, qwen = stable_diffusion_weights, sdxl_weights, sd3_weights, flux_weights, qwen_image_weights

CHECKPOINTS: Mapping[str, Maker] = {
    **dict.fromkeys(
        (
            "v1-5-pruned-emaonly-fp16.safetensors", "DreamShaper_8_pruned.safetensors", "dreamshaper_8.safetensors",
            "architecturerealmix_v11.safetensors", "awpainting_v14.safetensors", "interiordesignsuperm_v2.safetensors",
            "japaneseStyleRealistic_v20.safetensors", "majicmixRealistic_v7.safetensors",
        ),
        sd.sd1,
    ),
    "v2-1_768-ema-pruned.safetensors": sd.sd2,
    "512-inpainting-ema.safetensors": sd.sd2_inpainting,
    "sd_xl_base_1.0.safetensors": xl.base,
    "sd_xl_turbo_1.0_fp16.safetensors": xl.turbo,
    "sd_xl_refiner_1.0.safetensors": xl.refiner,
    "sd3.5_large_fp8_scaled.safetensors": sd3.large,
    "flux1-dev-fp8.safetensors": flux.dev_checkpoint,
    "flux1-schnell-fp8.safetensors": flux.schnell_checkpoint,
    "NetaYumev35_pretrained_all_in_one.safetensors": flux.lumina2,
}  # fmt: skip
DENOISERS: Mapping[str, Maker] = {
    "flux1-dev.safetensors": flux.dev,
    "flux1-dev-fp8.safetensors": flux.dev_eighths,
    "flux1-schnell.safetensors": flux.schnell,
    "flux1-krea-dev_fp8_scaled.safetensors": flux.dev_scaled,
    "flux1-dev-kontext_fp8_scaled.safetensors": flux.dev_scaled,
    "flux1-fill-dev.safetensors": flux.fill,
    "flux.1-fill-dev-OneReward-transformer_fp8.safetensors": flux.fill_eighths,
    "flux1-canny-dev.safetensors": flux.canny,
    "Chroma1-HD-fp8_scaled_rev2.safetensors": flux.chroma,
    "qwen_image_fp8_e4m3fn.safetensors": qwen.denoiser,
    "qwen_image_edit_fp8_e4m3fn.safetensors": qwen.denoiser,
    "qwen_image_edit_2509_fp8_e4m3fn.safetensors": qwen.denoiser,
}
FILES: Mapping[str, Mapping[str, Maker]] = {
    "checkpoints": CHECKPOINTS,
    "diffusion_models": DENOISERS,
    "text_encoders": {
        "clip_l.safetensors": flux.clip_l,
        "t5xxl_fp16.safetensors": flux.t5xxl,
        "t5xxl_fp8_e4m3fn_scaled.safetensors": flux.t5xxl_scaled,
        "qwen_2.5_vl_7b_fp8_scaled.safetensors": qwen.words,
    },
    "vae": {
        "vae-ft-mse-840000-ema-pruned.safetensors": sd.autoencoder,
        "ae.safetensors": flux.autoencoder,
        "qwen_image_vae.safetensors": qwen.autoencoder,
    },
    "loras": {
        "MoXinV1.safetensors": sd.lora,
        "blindbox_v1_mix.safetensors": sd.other_lora,
        "flux1-depth-dev-lora.safetensors": flux.depth_lora,
        "removal_timestep_alpha-2-1740.safetensors": flux.lora,
        "uso-flux1-dit-lora-v1.safetensors": flux.lora,
        "Qwen-Image-Lightning-4steps-V1.0.safetensors": qwen.lightning,
        "Qwen-Image-Lightning-8steps-V1.0.safetensors": qwen.lightning,
        "Qwen-Image-Edit-2509-Lightning-4steps-V1.0-bf16.safetensors": qwen.lightning,
        "qwen_image_union_diffsynth_lora.safetensors": qwen.union,
    },
    "controlnet": {
        "control_v11p_sd15_openpose_fp16.safetensors": sd.control,
        "control_v11p_sd15_scribble_fp16.safetensors": sd.other_control,
        "control_v11f1p_sd15_depth_fp16.safetensors": sd.control,
        "controlnetT2IAdapter_t2iAdapterDepth.safetensors": sd.t2i_adapter,
        "sd3.5_large_controlnet_blur.safetensors": sd3.control,
        "sd3.5_large_controlnet_canny.safetensors": sd3.canny_control,
        "sd3.5_large_controlnet_depth.safetensors": sd3.depth_control,
        "Qwen-Image-InstantX-ControlNet-Union.safetensors": qwen.control,
        "Qwen-Image-InstantX-ControlNet-Inpainting.safetensors": qwen.inpainting_control,
    },
    "embeddings": {"SDA768.pt": sd.embedding},
    "clip_vision": {
        "clip_vision_g.safetensors": picture_weights.clip_g,
        "sigclip_vision_patch14_384.safetensors": picture_weights.siglip,
    },
    "style_models": {"flux1-redux-dev.safetensors": flux.redux},
    "upscale_models": {"RealESRGAN_x4plus.safetensors": picture_weights.real_esrgan},
}


def place(folders: Folders, kind: str, name: str) -> None:
    """Lets the file of that name be there, where it is one of those in `FILES`. Files of the same maker are one file with many names."""
    maker = FILES.get(kind, {}).get(name)
    path = folders.model_folders(kind)[-1] / name
    if maker is None or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    os.link(_made(maker, folders.data / "made", path.suffix), path)


@functools.cache
def _made(maker: Maker, folder: Path, suffix: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{maker.__module__.rsplit('.', 1)[-1]}-{maker.__name__}{suffix}"
    state = {name: tensor.contiguous().clone() for name, tensor in maker().items()}
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path
