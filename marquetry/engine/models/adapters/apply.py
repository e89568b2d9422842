"""Applying adapters: while `applied` is entered, the network computes base(x) + the sum of strength · delta(x), in this thread only.

The network is shared between jobs. Its weights are never written; hooks on the targeted modules look up what the calling
thread has applied, so several threads may use one network with different adapters at once, and neither waits for the other.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias
from weakref import WeakKeyDictionary, ref

from marquetry.engine.models.adapters.staging import STAGE, StagedAdapter

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.utils.hooks import RemovableHandle

    from marquetry.engine.models.adapters.adapter import AppliedAdapter
    from marquetry.engine.models.adapters.delta import Delta

PlanKey: TypeAlias = tuple[tuple[str, str, float], ...]
Ready: TypeAlias = tuple["torch.device", "torch.dtype", list[tuple["Delta", float]]]


@contextmanager
def applied(network: nn.Module, adapters: Sequence[AppliedAdapter]) -> Iterator[None]:
    """Calls of `network` made by this thread inside the block see exactly these adapters, whatever is applied around it.

    Several targeting one module add up. Strength 0 changes no bit. Wrap each forward pass; inside `staged` entering costs next to nothing.
    """
    live = [adapter for adapter in adapters if adapter.strength != 0 and adapter.targets]
    rig = _rig_of(network, make=bool(live))
    outer = None if rig is None else rig.here.plan
    if rig is None or not (live or outer):
        yield
        return
    plan = rig.acquire(network, live) if live else None
    rig.here.plan = plan
    try:
        yield
    finally:
        rig.here.plan = outer
        if plan is not None:
            rig.release(plan)


@contextmanager
def staged(network: nn.Module, adapters: Sequence[AppliedAdapter]) -> Iterator[None]:
    """Keeps these adapters ready on the network: factors on their device after first use, hooks in place. Applies nothing."""
    live = [adapter for adapter in adapters if adapter.strength != 0 and adapter.targets]
    rig = _rig_of(network, make=bool(live))
    if rig is None or not live:
        yield
        return
    plan = rig.acquire(network, live)
    try:
        yield
    finally:
        rig.release(plan)


def prefetch(network: nn.Module, adapters: Sequence[AppliedAdapter], device: torch.device, dtype: torch.dtype) -> None:
    """Bring factors to where the network will run, such as while its queue is busy with another job."""
    for adapter in adapters:
        ready = STAGE.get(network, adapter, device, dtype)
        for path in adapter.targets:
            ready.delta(path, network.get_submodule(path))


class _Plan:
    """What one combination of adapters does to each module."""

    def __init__(self, key: PlanKey, adapters: Sequence[AppliedAdapter]) -> None:
        self.key = key
        self.users = 0
        self.adapters: dict[str, list[AppliedAdapter]] = {}
        self._staged: dict[tuple[AppliedAdapter, torch.device, torch.dtype], StagedAdapter] = {}
        self._ready: dict[str, Ready] = {}
        for adapter in adapters:
            for path in adapter.targets:
                self.adapters.setdefault(path, []).append(adapter)

    def ready(self, path: str, network: nn.Module, module: nn.Module, like: Tensor) -> list[tuple[Delta, float]]:
        """The deltas for one module with their strengths, on the device and in the dtype of `like`."""
        known = self._ready.get(path)
        if known is not None and known[0] == like.device and known[1] == like.dtype:
            return known[2]
        deltas = [
            (self._staged_for(adapter, network, like).delta(path, module), adapter.strength) for adapter in self.adapters.get(path, ())
        ]
        self._ready[path] = (like.device, like.dtype, deltas)
        return deltas

    def _staged_for(self, adapter: AppliedAdapter, network: nn.Module, like: Tensor) -> StagedAdapter:
        key = (adapter, like.device, like.dtype)
        staged = self._staged.get(key)
        if staged is None:
            staged = self._staged[key] = STAGE.get(network, adapter, like.device, like.dtype)
        return staged


class _Here(threading.local):
    plan: _Plan | None = None


class _Rig:
    """The plans and hooks on one network. A hook stays for as long as a plan in use targets its module."""

    def __init__(self) -> None:
        self.here = _Here()
        self._lock = threading.Lock()
        self._plans: dict[PlanKey, _Plan] = {}
        self._hooks: dict[str, tuple[RemovableHandle, int]] = {}
        self._modules: dict[str, nn.Module] = {}  # looked up once: a path is slow to follow

    def acquire(self, network: nn.Module, adapters: Sequence[AppliedAdapter]) -> _Plan:
        key = tuple(adapter.key for adapter in adapters)
        with self._lock:
            plan = self._plans.get(key)
            if plan is None:
                plan = _Plan(key, adapters)
                for path in plan.adapters.keys() - self._modules.keys():
                    self._modules[path] = network.get_submodule(path)
                for path in plan.adapters:
                    handle, users = self._hooks.get(path) or (_hook(network, self._modules[path], path, self.here), 0)
                    self._hooks[path] = handle, users + 1
                self._plans[key] = plan
            plan.users += 1
            return plan

    def release(self, plan: _Plan) -> None:
        with self._lock:
            plan.users -= 1
            if plan.users:
                return
            del self._plans[plan.key]
            for path in plan.adapters:
                handle, users = self._hooks.pop(path)
                if users > 1:
                    self._hooks[path] = handle, users - 1
                else:
                    handle.remove()


def _hook(network: nn.Module, module: nn.Module, path: str, here: _Here) -> RemovableHandle:
    root, target = ref(network), ref(module)

    def add_deltas(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        plan, network = here.plan, root()
        if plan is None or network is None or module is not target():  # a copy of the network takes its hooks along
            return None
        total = output
        for delta, strength in plan.ready(path, network, module, output):
            total = delta.add(module, inputs[0], output, total, strength)
        return total

    return module.register_forward_hook(add_deltas)


_RIGS: WeakKeyDictionary[nn.Module, _Rig] = WeakKeyDictionary()
_RIGS_LOCK = threading.Lock()


def _rig_of(network: nn.Module, *, make: bool) -> _Rig | None:
    rig = _RIGS.get(network)
    if rig is None and make:
        with _RIGS_LOCK:
            rig = _RIGS.setdefault(network, _Rig())
    return rig
