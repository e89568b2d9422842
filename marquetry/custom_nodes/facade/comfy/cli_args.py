"""`comfy.cli_args` for packs: ComfyUI's flags with the values of this server."""

from __future__ import annotations

import argparse
from enum import Enum
from typing import Any

from marquetry.custom_nodes.installation import current


class LatentPreviewMethod(Enum):
    """How pictures are shown while they are made."""

    NoPreviews = "none"
    Auto = "auto"
    Latent2RGB = "latent2rgb"
    TAESD = "taesd"

    @classmethod
    def from_string(cls, value: str) -> LatentPreviewMethod | None:
        return next((method for method in cls if method.value == value), None)


OFF = [
    "force_fp32",
    "force_fp16",
    "fp32_unet",
    "fp64_unet",
    "bf16_unet",
    "fp16_unet",
    "fp8_e4m3fn_unet",
    "fp8_e5m2_unet",
    "fp8_e8m0fnu_unet",
    "fp16_vae",
    "fp32_vae",
    "bf16_vae",
    "cpu_vae",
    "fp8_e4m3fn_text_enc",
    "fp8_e5m2_text_enc",
    "fp16_text_enc",
    "fp32_text_enc",
    "bf16_text_enc",
    "force_channels_last",
    "supports_fp8_compute",
    "disable_ipex_optimize",
    "disable_xformers",
    "force_upcast_attention",
    "dont_upcast_attention",
    "gpu_only",
    "highvram",
    "normalvram",
    "lowvram",
    "novram",
    "cpu",
    "disable_smart_memory",
    "deterministic",
    "auto_launch",
    "disable_auto_launch",
    "dont_print_server",
    "quick_test_for_ci",
    "windows_standalone_build",
    "disable_metadata",
    "disable_all_custom_nodes",
    "disable_api_nodes",
    "multi_user",
    "log_stdout",
    "enable_compress_response_body",
    "use_split_cross_attention",
    "use_quad_cross_attention",
    "use_pytorch_cross_attention",
    "use_sage_attention",
    "use_flash_attention",
    "cache_classic",
    "cache_none",
    "async_offload",
    "mmap_torch_files",
    "disable_mmap",
]
VALUES: dict[str, Any] = {
    "listen": "127.0.0.1", "port": 8188, "tls_keyfile": None, "tls_certfile": None, "enable_cors_header": None, "max_upload_size": 100,
    "base_directory": None, "extra_model_paths_config": None, "output_directory": None, "temp_directory": None, "input_directory": None,
    "user_directory": None, "cuda_device": None, "default_device": None, "cuda_malloc": False, "disable_cuda_malloc": True, "directml": None,
    "oneapi_device_selector": None, "preview_size": 512, "cache_lru": 0, "cache_ram": 0, "reserve_vram": None, "default_hashing_function": "sha256",
    "fast": set(), "whitelist_custom_nodes": [], "verbose": "INFO", "front_end_version": "", "front_end_root": None, "comfy_api_base": "",
    "database_url": "",
}  # fmt: skip

options = current().options
args = argparse.Namespace(**dict.fromkeys(OFF, False) | VALUES | options)
args.preview_method = LatentPreviewMethod.from_string(str(options.get("preview_method", "auto"))) or LatentPreviewMethod.Auto
parser = argparse.ArgumentParser()
