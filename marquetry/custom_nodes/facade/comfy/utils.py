"""`comfy.utils` for packs: weights, progress, resizing and small tools over state dicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import reduce
from pathlib import Path
from typing import Any

from marquetry.custom_nodes import progress

PROGRESS_BAR_ENABLED = True
PROGRESS_BAR_HOOK: Callable[..., None] | None = None


class ProgressBar(progress.ProgressBar):
    """A progress bar that packs may switch off for all, or listen to."""

    def update_absolute(self, value: float, total: float | None = None, preview: Any = None) -> None:
        if PROGRESS_BAR_HOOK is not None:
            if total is not None:
                self.total = total
            self.current = min(value, self.total)
            PROGRESS_BAR_HOOK(self.current, self.total, preview, node_id=self.node_id)
        elif PROGRESS_BAR_ENABLED:
            super().update_absolute(value, total, preview)


def set_progress_bar_enabled(enabled: bool) -> None:
    global PROGRESS_BAR_ENABLED
    PROGRESS_BAR_ENABLED = enabled


def set_progress_bar_global_hook(function: Callable[..., None]) -> None:
    global PROGRESS_BAR_HOOK
    PROGRESS_BAR_HOOK = function


def load_torch_file(ckpt: str, safe_load: bool = False, device: Any = None, return_metadata: bool = False) -> Any:
    """All tensors of a weight file. Pickles are read as weights only, whatever `safe_load` says."""
    from marquetry.engine.models.weights import open_weights

    path = Path(ckpt)
    weights = open_weights(path)
    tensors = {name: weights.tensor(name) for name in weights.header}
    if device is not None:
        tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
    if not return_metadata:
        return tensors
    return tensors, dict(weights.header.metadata)


def save_torch_file(sd: Mapping[str, Any], ckpt: str, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as safetensors."""
    from safetensors.torch import save_file

    save_file(dict(sd), ckpt, metadata=None if metadata is None else dict(metadata))


def common_upscale(samples: Any, width: int, height: int, upscale_method: str, crop: str) -> Any:
    """`[B, C, H, W]` resized; `crop` is "disabled" or "center"."""
    from marquetry.engine.resize import resize

    return resize(samples, width, height, upscale_method, crop)


def lanczos(samples: Any, width: int, height: int) -> Any:
    from marquetry.engine.resize import lanczos as resized

    return resized(samples, width, height)


def bislerp(samples: Any, width: int, height: int) -> Any:
    from marquetry.engine.resize import bislerp as resized

    return resized(samples, width, height)


def repeat_to_batch_size(tensor: Any, batch_size: int, dim: int = 0) -> Any:
    """The tensor with `batch_size` entries along a dimension: cut, or repeated from its start."""
    size = tensor.shape[dim]
    if size >= batch_size:
        return tensor.narrow(dim, 0, batch_size)
    repeats = [1] * tensor.ndim
    repeats[dim] = math.ceil(batch_size / size)
    return tensor.repeat(repeats).narrow(dim, 0, batch_size)


def get_attr(obj: Any, attr: str) -> Any:
    """The attribute of a dotted path."""
    return reduce(getattr, attr.split("."), obj)


def set_attr(obj: Any, attr: str, value: Any) -> Any:
    """Set the attribute of a dotted path; the value before is returned."""
    *path, last = attr.split(".")
    owner = reduce(getattr, path, obj)
    before = getattr(owner, last)
    setattr(owner, last, value)
    return before


def set_attr_param(obj: Any, attr: str, value: Any) -> Any:
    """As `set_attr`, for a tensor that becomes a frozen parameter."""
    import torch

    return set_attr(obj, attr, torch.nn.Parameter(value, requires_grad=False))


def copy_to_param(obj: Any, attr: str, value: Any) -> None:
    """Write a tensor into the parameter of a dotted path."""
    get_attr(obj, attr).data.copy_(value)


def calculate_parameters(sd: Mapping[str, Any], prefix: str = "") -> int:
    """How many numbers the tensors under a prefix hold."""
    return sum(tensor.nelement() for name, tensor in sd.items() if name.startswith(prefix))


def weight_dtype(sd: Mapping[str, Any], prefix: str = "") -> Any:
    """The dtype that most numbers under a prefix have, or None."""
    counts: dict[Any, int] = {}
    for name, tensor in sd.items():
        if name.startswith(prefix):
            counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.nelement()
    return max(counts, key=lambda dtype: counts[dtype]) if counts else None


def state_dict_key_replace(state_dict: dict[str, Any], keys_to_replace: Mapping[str, str]) -> dict[str, Any]:
    """Rename keys in place."""
    for old, new in keys_to_replace.items():
        if old in state_dict:
            state_dict[new] = state_dict.pop(old)
    return state_dict


def state_dict_prefix_replace(state_dict: dict[str, Any], replace_prefix: Mapping[str, str], filter_keys: bool = False) -> dict[str, Any]:
    """Rename prefixes, in place; with `filter_keys` into a new dict of what matched."""
    out: dict[str, Any] = {} if filter_keys else state_dict
    for old, new in replace_prefix.items():
        for name in [name for name in state_dict if name.startswith(old)]:
            out[new + name[len(old) :]] = state_dict.pop(name)
    return out


def get_tiled_scale_steps(width: int, height: int, tile_x: int, tile_y: int, overlap: int) -> int:
    """How many tiles a picture is worked on in."""
    rows = 1 if height <= tile_y else math.ceil((height - overlap) / (tile_y - overlap))
    columns = 1 if width <= tile_x else math.ceil((width - overlap) / (tile_x - overlap))
    return rows * columns


def string_to_seed(data: bytes) -> int:
    """A 32-bit number that stands for the bytes: their CRC-32."""
    import zlib

    return zlib.crc32(data)
