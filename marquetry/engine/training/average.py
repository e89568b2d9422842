"""The running average of a network's weights, which samples better than the weights themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average; the decay starts low so that the first, random weights are soon forgotten."""

    def __init__(self, networks: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.weights = {name: weight.detach().clone() for name, weight in networks.named_parameters()}

    @torch.no_grad()
    def update(self, networks: nn.Module) -> None:
        """Moves the average towards the weights as they are now."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        live = dict(networks.named_parameters())
        names = [name for name in self.weights if live[name].requires_grad]
        torch._foreach_lerp_([self.weights[name] for name in names], [live[name] for name in names], 1.0 - decay)

    def load(self, weights: Mapping[str, Tensor], updates: int) -> None:
        """Takes over a saved average, wherever it was made."""
        self.weights = {name: weights[name].to(own.device) for name, own in self.weights.items()}
        self.updates = updates

    @contextmanager
    def applied(self, networks: nn.Module) -> Iterator[None]:
        """The networks hold the averaged weights inside, and their own again afterwards."""
        own = {name: weight.detach().clone() for name, weight in networks.named_parameters()}
        self.copy_to(networks)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, weight in networks.named_parameters():
                    weight.copy_(own[name])

    @torch.no_grad()
    def copy_to(self, networks: nn.Module) -> None:
        """Overwrites the networks' weights with the average."""
        for name, weight in networks.named_parameters():
            weight.copy_(self.weights[name])
