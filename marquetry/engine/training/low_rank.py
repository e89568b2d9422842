"""Low-rank changes of a frozen network that learn (Hu et al. 2021; LoCon for convolutions), hung on its modules from outside."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from marquetry.engine.training.errors import TrainingFailed

Targets: TypeAlias = Literal["attention", "attention and convolutions"]
# The classes inside which kohya's trainers look for modules to change.
ATTENTION_BLOCKS = ("Transformer2DModel",)
CONVOLUTION_BLOCKS = ("ResnetBlock2D", "Downsample2D", "Upsample2D")
TEXT_BLOCKS = ("CLIPAttention", "CLIPSdpaAttention", "CLIPMLP")


@dataclass(frozen=True, slots=True)
class LowRankSizes:
    """`conv_rank` is for 3x3 convolutions, where they are changed; `alpha` over rank is the scale of what was learnt."""

    rank: int = 16
    alpha: float = 16.0
    dropout: float = 0.0
    conv_rank: int = 8
    conv_alpha: float = 8.0


class LowRankChange(nn.Module):
    """What is added to one module's output: scale * up(down(x)). Begins as nothing."""

    def __init__(self, target: nn.Linear | nn.Conv2d, rank: int, alpha: float, dropout: float) -> None:
        super().__init__()
        self.down: nn.Linear | nn.Conv2d
        self.up: nn.Linear | nn.Conv2d
        if isinstance(target, nn.Conv2d):
            rank = min(rank, target.in_channels, target.out_channels)
            geometry: dict[str, Any] = {"stride": target.stride, "padding": target.padding, "dilation": target.dilation}
            self.down = nn.Conv2d(target.in_channels, rank, target.kernel_size, bias=False, **geometry)  # type: ignore[arg-type]
            self.up = nn.Conv2d(rank, target.out_channels, 1, bias=False)
        else:
            rank = min(rank, target.in_features, target.out_features)
            self.down = nn.Linear(target.in_features, rank, bias=False)
            self.up = nn.Linear(rank, target.out_features, bias=False)
        self.alpha = alpha
        self.scale = alpha / rank
        self.dropout = dropout
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5.0))
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """The change for an input of the module."""
        if self.dropout and self.training:
            x = functional.dropout(x, self.dropout)
        changed: Tensor = self.up(self.down(x)) * self.scale
        return changed


def attach(network: nn.Module, paths: list[str], sizes: LowRankSizes) -> nn.ModuleDict:
    """Hangs a change on each module; the answer holds them under the modules' paths, dots as slashes, and is what learns."""
    changes = nn.ModuleDict()
    for path in paths:
        module = network.get_submodule(path)
        assert isinstance(module, (nn.Linear, nn.Conv2d))
        large = isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)
        rank, alpha = (sizes.conv_rank, sizes.conv_alpha) if large else (sizes.rank, sizes.alpha)
        change = changes[path.replace(".", "/")] = LowRankChange(module, rank, alpha, sizes.dropout)
        _hang(module, change)
    return changes


def unet_paths(unet: nn.Module, targets: Targets) -> list[str]:
    """The modules of a UNet that kohya's trainers change, by path."""
    blocks = ATTENTION_BLOCKS + (CONVOLUTION_BLOCKS if targets == "attention and convolutions" else ())
    return _required(list(_inside(unet, blocks)), "the UNet")


def text_paths(text_encoder: nn.Module) -> list[str]:
    """The same of a text encoder."""
    return _required(list(_inside(text_encoder, TEXT_BLOCKS)), "the text encoder")


def _inside(network: nn.Module, blocks: tuple[str, ...]) -> Iterator[str]:
    seen: set[str] = set()
    for path, module in network.named_modules():
        if type(module).__name__ not in blocks:
            continue
        for inner, child in module.named_modules():
            full = f"{path}.{inner}"
            if isinstance(child, (nn.Linear, nn.Conv2d)) and full not in seen:
                seen.add(full)
                yield full


def _required(paths: list[str], what: str) -> list[str]:
    if not paths:
        raise TrainingFailed(f"{what} of this model has no modules that a LoRA of this kind changes")
    return paths


def _hang(module: nn.Module, change: LowRankChange) -> None:
    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        added: Tensor = change(inputs[0])
        return output + added.to(output.dtype)

    module.register_forward_hook(add)


def state_of(changes: nn.ModuleDict) -> dict[str, dict[str, Tensor]]:
    """Module path to its `down`, `up` and `alpha`."""
    found: dict[str, dict[str, Tensor]] = {}
    for key, change in changes.items():
        assert isinstance(change, LowRankChange)
        found[key.replace("/", ".")] = {
            "down": change.down.weight.detach(),
            "up": change.up.weight.detach(),
            "alpha": torch.tensor(change.alpha),
        }
    return found
