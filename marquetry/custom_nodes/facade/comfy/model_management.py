"""`comfy.model_management` for packs: devices, data types, memory and interruption, as far as they need no model of ours."""

from __future__ import annotations

import gc
from enum import Enum
from typing import Any

from marquetry.custom_nodes.devices import (
    cpu_mode,
    get_torch_device,
    is_amd,
    is_device_cpu,
    is_device_cuda,
    is_device_mps,
    is_device_type,
    is_intel_xpu,
    is_nvidia,
    mps_mode,
    should_use_bf16,
    should_use_fp16,
    supports_cast,
    supports_dtype,
    supports_fp8_compute,
    text_encoder_dtype,
    unet_dtype,
    unet_manual_cast,
    vae_dtype,
)
from marquetry.custom_nodes.progress import InterruptProcessingException, require_running

__all__ = [
    "InterruptProcessingException",
    "cpu_mode",
    "get_torch_device",
    "is_amd",
    "is_device_cpu",
    "is_device_cuda",
    "is_device_mps",
    "is_device_type",
    "is_intel_xpu",
    "is_nvidia",
    "mps_mode",
    "should_use_bf16",
    "should_use_fp16",
    "supports_cast",
    "supports_dtype",
    "supports_fp8_compute",
    "text_encoder_dtype",
    "unet_dtype",
    "unet_manual_cast",
    "vae_dtype",
]


class VRAMState(Enum):
    """How much of a model stays on the accelerator."""

    DISABLED = 0
    NO_VRAM = 1
    LOW_VRAM = 2
    NORMAL_VRAM = 3
    HIGH_VRAM = 4
    SHARED = 5


class CPUState(Enum):
    """Whether there is an accelerator."""

    GPU = 0
    CPU = 1
    MPS = 2


XFORMERS_IS_AVAILABLE = False
directml_enabled = False
current_loaded_models: list[Any] = []


def __getattr__(name: str) -> Any:
    """Names whose values need torch are made when a pack asks for them."""
    import torch

    if name == "OOM_EXCEPTION":
        return torch.cuda.OutOfMemoryError
    if name == "cpu_state":
        return {"cpu": CPUState.CPU, "mps": CPUState.MPS}.get(get_torch_device().type, CPUState.GPU)
    if name == "vram_state":
        return VRAMState.DISABLED if is_device_cpu(get_torch_device()) else VRAMState.NORMAL_VRAM
    raise AttributeError(f"module 'comfy.model_management' has no attribute '{name}'")


def _processor() -> Any:
    import torch

    return torch.device("cpu")


def get_torch_device_name(device: Any) -> str:
    import torch

    return f"{device} {torch.cuda.get_device_name(device)}" if is_device_cuda(device) else str(device.type)


def get_all_torch_devices(exclude_current: bool = False) -> list[Any]:
    return [] if exclude_current else [get_torch_device()]


def intermediate_device() -> Any:
    """Where values between nodes are."""
    return _processor()


def unet_offload_device() -> Any:
    return _processor()


def unet_inital_load_device(parameters: int, dtype: Any) -> Any:
    return _processor()


def text_encoder_device() -> Any:
    return get_torch_device()


def text_encoder_offload_device() -> Any:
    return _processor()


def text_encoder_initial_device(load_device: Any, offload_device: Any, model_size: int = 0) -> Any:
    return offload_device


def vae_device() -> Any:
    return get_torch_device()


def vae_offload_device() -> Any:
    return _processor()


def maximum_vram_for_weights(device: Any = None) -> float:
    return float(get_total_memory(device)) * 0.88


def dtype_size(dtype: Any) -> int:
    """Bytes of one number."""
    return int(dtype.itemsize)


def xformers_enabled() -> bool:
    return False


def xformers_enabled_vae() -> bool:
    return False


def pytorch_attention_enabled() -> bool:
    return True


def pytorch_attention_flash_attention() -> bool:
    return is_nvidia()


def device_supports_non_blocking(device: Any) -> bool:
    return is_device_cuda(device)


def cast_to(weight: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False, copy: bool = False) -> Any:
    return weight.to(device=device, dtype=dtype, non_blocking=non_blocking, copy=copy)


def cast_to_device(tensor: Any, device: Any, dtype: Any, copy: bool = False) -> Any:
    return tensor.to(device=device, dtype=dtype, copy=copy)


def get_total_memory(dev: Any = None, torch_total_too: bool = False) -> Any:
    """Bytes of memory of a device; with `torch_total_too` also what torch holds of it."""
    import psutil
    import torch

    device = dev or get_torch_device()
    total = torch.cuda.mem_get_info(device)[1] if is_device_cuda(device) else psutil.virtual_memory().total
    held = torch.cuda.memory_reserved(device) if is_device_cuda(device) else total
    return (total, held) if torch_total_too else total


def get_free_memory(dev: Any = None, torch_free_too: bool = False) -> Any:
    """Free bytes of a device; with `torch_free_too` also what torch holds without using."""
    import psutil
    import torch

    device = dev or get_torch_device()
    if not is_device_cuda(device):
        free = psutil.virtual_memory().available
        return (free, free) if torch_free_too else free
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    free = torch.cuda.mem_get_info(device)[0] + unused
    return (free, unused) if torch_free_too else free


def module_size(module: Any) -> int:
    """Bytes of a module's weights."""
    return sum(tensor.nelement() * tensor.element_size() for tensor in module.state_dict().values())


def minimum_inference_memory() -> int:
    return 2**30


def extra_reserved_memory() -> int:
    return 400 * 2**20


def soft_empty_cache(force: bool = False) -> None:
    """Give unused memory of the accelerator back."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def free_memory(memory_required: float, device: Any, keep_loaded: Any = ()) -> list[Any]:
    soft_empty_cache()
    return []


def unload_all_models() -> None:
    soft_empty_cache()


def cleanup_models() -> None:
    soft_empty_cache()


def cleanup_models_gc() -> None:
    soft_empty_cache()


def throw_exception_if_processing_interrupted() -> None:
    require_running()


def processing_interrupted() -> bool:
    try:
        require_running()
    except InterruptProcessingException:
        return True
    return False


def interrupt_current_processing(value: bool = True) -> None:
    """Cancel the job of the node that runs."""
    if value:
        raise InterruptProcessingException()
