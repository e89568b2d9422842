"""Reading adapters: any published format, recognised from tensor names, to one immutable Adapter."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.lazy import torch
from marquetry.engine.models.adapters.adapter import Adapter, Part, PublishedDelta
from marquetry.engine.models.adapters.base import base_of
from marquetry.engine.models.adapters.formats import delta_of
from marquetry.engine.models.adapters.published import grouped, placed
from marquetry.engine.models.adapters.scaling import Scaling

if TYPE_CHECKING:
    from torch import Tensor

ALIGNMENT_ELEMENTS = 64
SAFETENSORS_SUFFIXES = (".safetensors", ".sft")


def read_adapter(
    source: Path | str | Mapping[str, Tensor], *, content_hash: str, name: str = "", metadata: Mapping[str, str] | None = None
) -> Adapter:
    """The adapter in a file, or in tensors by name with `metadata` as safetensors keeps it. Factors stay on the CPU, in the file's dtype.

    Tensors of no known format are listed in `unknown`. Raises ModelFormatError for a damaged file, for tensors that don't go
    together, and where there is nothing that is an adapter's.
    """
    if isinstance(source, (str, Path)):
        path = Path(source)
        state, written = _read(path)
        name, metadata = name or path.name, {**written, **(metadata or {})}
    else:
        state = source
    metadata = metadata or {}
    scaling = Scaling.from_metadata(metadata)
    groups, unknown = grouped(state)
    deltas: list[PublishedDelta] = []
    for group in groups.values():
        delta, used = delta_of(group, scaling)
        if delta is None:
            unknown += group.full_names
            continue
        if not group.tensors.keys() <= used:
            unknown += [f"{group.name} ({meaning})" for meaning in group.tensors.keys() - used]
        part, key = placed(group.name)
        deltas.append(PublishedDelta(group.name, part, key, delta))
    if not deltas:
        raise ModelFormatError(
            f"'{name or 'the adapter'}' holds no adapter of a known format; its tensors are {_some(list(state))}", name=name
        )
    return Adapter(name, content_hash, _packed(deltas), tuple(unknown), base_of(deltas, metadata))


def _read(path: Path) -> tuple[Mapping[str, Tensor], Mapping[str, str]]:
    try:
        if path.suffix.lower() in SAFETENSORS_SUFFIXES:
            from safetensors import SafetensorError, safe_open

            try:
                with safe_open(path, framework="pt") as file:
                    return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
            except SafetensorError as error:
                raise ModelFormatError(f"{path.name} is not a sound safetensors file: {error}", name=path.name) from error
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelFormatError(f"{path.name} cannot be read: {error.strerror or error}", name=path.name) from error
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ModelFormatError(f"{path.name} is not a file of plain tensors", name=path.name) from error
    loaded = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(loaded, dict):
        raise ModelFormatError(f"{path.name} holds no tensors by name", name=path.name)
    return {str(key): value for key, value in loaded.items() if isinstance(value, torch.Tensor)}, {}


def _packed(deltas: list[PublishedDelta]) -> tuple[PublishedDelta, ...]:
    """The same with all tensors of one network and dtype in one block of memory, which reaches a device in one copy.

    Where there is an accelerator the block is page-locked. Doubles and whole numbers become float32.
    """
    places: dict[tuple[Part | None, torch.dtype], list[Tensor]] = {}
    for published in deltas:
        for tensor in published.delta.tensors():
            places.setdefault((published.part, _dtype(tensor)), []).append(tensor)
    views: dict[int, Tensor] = {}
    for (_, dtype), tensors in places.items():
        sizes = [-(-tensor.numel() // ALIGNMENT_ELEMENTS) * ALIGNMENT_ELEMENTS for tensor in tensors]
        block = torch.zeros(sum(sizes), dtype=dtype, pin_memory=torch.cuda.is_available())
        offset = 0
        for tensor, size in zip(tensors, sizes, strict=True):
            view = block[offset : offset + tensor.numel()].view(tensor.shape)
            view.copy_(tensor.detach())
            views[id(tensor)] = view
            offset += size
    return tuple(
        PublishedDelta(published.name, published.part, published.key, published.delta.map(lambda tensor: views[id(tensor)]))
        for published in deltas
    )


def _dtype(tensor: Tensor) -> torch.dtype:
    if not tensor.is_floating_point() or tensor.dtype == torch.float64:
        return torch.float32
    return tensor.dtype


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") or "none"
