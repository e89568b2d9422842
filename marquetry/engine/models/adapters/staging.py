"""Staging: an adapter's factors on the device and in the dtype of the network that they change, kept within a byte budget."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias
from weakref import finalize

from marquetry.engine.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from marquetry.engine.models.adapters.adapter import AppliedAdapter
    from marquetry.engine.models.adapters.delta import Delta

Key: TypeAlias = tuple[int, str, str, "torch.device", "torch.dtype"]
DEFAULT_LIMIT_BYTES = 2 << 30


class StagedAdapter:
    """One adapter's deltas for one network, device and dtype. Whole storages are moved at once, and only when first used."""

    def __init__(self, targets: Mapping[str, Delta], device: torch.device, dtype: torch.dtype) -> None:
        self.device = device
        self.dtype = dtype
        self.nbytes = 0
        self._targets = targets
        self._ready: dict[str, Delta] = {}
        self._storages: dict[tuple[int, torch.dtype], Tensor] = {}
        self._lock = threading.Lock()

    def delta(self, path: str, module: nn.Module) -> Delta:
        """The delta for the module at `path`, moved and prepared."""
        ready = self._ready.get(path)
        if ready is None:
            with self._lock, torch.inference_mode(False), torch.no_grad():
                moved = self._targets[path].map(self._moved)
                ready = moved.prepare(module)
                if ready is not moved:
                    self.nbytes += sum(tensor.nbytes for tensor in ready.tensors())
                self._ready[path] = ready
        return ready

    def _moved(self, tensor: Tensor) -> Tensor:
        if tensor.device == self.device and tensor.dtype == self.dtype:
            return tensor
        storage = tensor.untyped_storage()
        place = (storage.data_ptr(), tensor.dtype)
        whole = self._storages.get(place)
        if whole is None:
            count = storage.nbytes() // tensor.element_size()
            flat = torch.as_strided(tensor, (count,), (1,), 0)
            whole = flat.to(self.device, non_blocking=True).to(self.dtype)
            self._storages[place] = whole
            self.nbytes += whole.nbytes
        return torch.as_strided(whole, tensor.shape, tensor.stride(), tensor.storage_offset())


class Stage:
    """All staged adapters of a process. Beyond `limit_bytes` the least recently used are let go; those in use stay alive."""

    def __init__(self, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self._staged: OrderedDict[Key, StagedAdapter] = OrderedDict()
        self._networks: set[int] = set()
        self._lock = threading.Lock()

    def get(self, network: nn.Module, applied: AppliedAdapter, device: torch.device, dtype: torch.dtype) -> StagedAdapter:
        key = (id(network), applied.adapter.content_hash, applied.part, device, dtype)
        with self._lock:
            staged = self._staged.get(key)
            if staged is None:
                if key[0] not in self._networks:
                    self._networks.add(key[0])
                    finalize(network, self._forget, key[0])
                staged = self._staged[key] = StagedAdapter(applied.targets, device, dtype)
            self._staged.move_to_end(key)
            self._shrink()
        return staged

    @property
    def nbytes(self) -> int:
        return sum(staged.nbytes for staged in list(self._staged.values()))

    def clear(self) -> None:
        """Let everything go, such as when a device is out of memory."""
        with self._lock:
            self._staged.clear()

    def _shrink(self) -> None:
        total = self.nbytes
        while total > self.limit_bytes and len(self._staged) > 1:
            _, oldest = self._staged.popitem(last=False)
            total -= oldest.nbytes

    def _forget(self, network: int) -> None:
        self._networks.discard(network)
        for key in [key for key in list(self._staged) if key[0] == network]:
            self._staged.pop(key, None)


STAGE = Stage()
