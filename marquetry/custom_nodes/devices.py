"""The accelerator and what it can do, as packs ask for it."""

from __future__ import annotations

from typing import Any

from marquetry.custom_nodes.installation import current


def get_torch_device() -> Any:
    """The accelerator that nodes compute on; the processor where there is none."""
    import torch

    wanted = current().device
    if wanted != "auto":
        return torch.device(wanted)
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def is_device_type(device: Any, kind: str) -> bool:
    return getattr(device, "type", None) == kind


def is_device_cpu(device: Any) -> bool:
    return is_device_type(device, "cpu")


def is_device_mps(device: Any) -> bool:
    return is_device_type(device, "mps")


def is_device_cuda(device: Any) -> bool:
    return is_device_type(device, "cuda")


def is_nvidia() -> bool:
    import torch

    return torch.cuda.is_available() and torch.version.cuda is not None


def is_amd() -> bool:
    import torch

    return torch.cuda.is_available() and torch.version.hip is not None


def is_intel_xpu() -> bool:
    return False


def cpu_mode() -> bool:
    return is_device_cpu(get_torch_device())


def mps_mode() -> bool:
    return is_device_mps(get_torch_device())


def should_use_fp16(device: Any = None, model_params: int = 0, prioritize_performance: bool = True, manual_cast: bool = False) -> bool:
    """Whether half precision pays on a device."""
    return not is_device_cpu(device or get_torch_device())


def should_use_bf16(device: Any = None, model_params: int = 0, prioritize_performance: bool = True, manual_cast: bool = False) -> bool:
    """Whether bfloat16 pays on a device."""
    import torch

    device = device or get_torch_device()
    return is_device_cuda(device) and torch.cuda.is_bf16_supported()


def supports_fp8_compute(device: Any = None) -> bool:
    import torch

    device = device or get_torch_device()
    return is_device_cuda(device) and torch.cuda.get_device_capability(device) >= (8, 9)


def supports_cast(device: Any, dtype: Any) -> bool:
    return True


def supports_dtype(device: Any, dtype: Any) -> bool:
    import torch

    return dtype == torch.float32 or (not is_device_cpu(device) and dtype in (torch.float16, torch.bfloat16))


def _compute_dtype(device: Any, supported: Any) -> Any:
    import torch

    supported = supported or [torch.float16, torch.bfloat16, torch.float32]
    if should_use_fp16(device) and torch.float16 in supported:
        return torch.float16
    if should_use_bf16(device) and torch.bfloat16 in supported:
        return torch.bfloat16
    return torch.float32


def unet_dtype(device: Any = None, model_params: int = 0, supported_dtypes: Any = None, weight_dtype: Any = None) -> Any:
    return _compute_dtype(device, supported_dtypes)


def unet_manual_cast(weight_dtype: Any, inference_device: Any, supported_dtypes: Any = None) -> Any:
    """The type to compute in when it is not the weights' own, else None."""
    import torch

    wanted = _compute_dtype(inference_device, supported_dtypes)
    return None if weight_dtype in (wanted, torch.float32) else wanted


def text_encoder_dtype(device: Any = None) -> Any:
    import torch

    return torch.float32 if is_device_cpu(device or get_torch_device()) else torch.float16


def vae_dtype(device: Any = None, allowed_dtypes: Any = None) -> Any:
    import torch

    return torch.bfloat16 if should_use_bf16(device) and torch.bfloat16 in (allowed_dtypes or []) else torch.float32
