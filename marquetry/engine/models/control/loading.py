"""Loading ControlNets: what a file holds, its network built when it is first used, and differences added to the model that they differ from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from marquetry.engine.errors import NodeFailed
from marquetry.engine.lazy import torch
from marquetry.engine.models.control.control_net import ControlNet
from marquetry.engine.models.control.registry import kinds, require_control
from marquetry.engine.models.network import build
from marquetry.engine.models.weights import Weights

if TYPE_CHECKING:
    from torch import device, dtype, nn

    from marquetry.engine.models.model import Model


def control_net(
    weights: Weights, fingerprint: str, base: Model | None, register: Callable[..., Any], device: device, dtype: dtype
) -> ControlNet:
    """The ControlNet of a file. `register` makes a network known to a residency.

    Raises ModelFormatError where no kind reads the file, NodeFailed for a difference without its base.
    """
    found = require_control(weights.header)
    found = replace(found, facts={**found.facts, **kinds()[found.kind].told(weights)})
    load: Callable[[], nn.Module] = partial(build, found.recipe, weights, dtype, device)
    added_to = None
    if found.facts.get("difference"):
        if base is None:
            raise NodeFailed(f"{weights.header.source} holds the difference to a model: load it with DiffControlNetLoader, which takes one")
        load, added_to = partial(_sum, load, base), base.resident.key
    size_bytes = found.recipe.parameters(weights.header) * torch.empty(0, dtype=dtype).element_size()
    resident = register((fingerprint, "control", str(dtype), added_to), size_bytes=size_bytes, load=load)
    return ControlNet(resident, found, device, dtype, weights.header.source, fingerprint)


def _sum(load: Callable[[], nn.Module], base: Model) -> nn.Module:
    """The network with the base's weights added to those that it shares with it."""
    network = load()
    with base.resident.use() as denoiser, torch.no_grad():
        shared = dict(denoiser.named_parameters())
        for name, parameter in network.named_parameters():
            other = shared.get(name)
            if other is not None and other.shape == parameter.shape:
                parameter.data = parameter.data + other.data.to(parameter)
    return network
