"""Tiny ControlNets, pictures for them, and prompts that carry them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from marquetry.engine.models.control.control_net import AppliedControl, ControlNet
from marquetry.engine.models.library import ModelLibrary
from tests.engine.models.families.tiny import seeded, stirred

HEIGHT, WIDTH = 64, 128
SHALLOW = (16, 16, 16, 16)  # channels of the reader


def picture(seed: int = 1, count: int = 1) -> Tensor:
    """`[count, H, W, 3]` in 0..1."""
    return torch.rand(count, HEIGHT, WIDTH, 3, generator=torch.Generator().manual_seed(seed))


def planes(image: Tensor) -> Tensor:
    """As diffusers takes it, `[B, 3, H, W]`."""
    return image.movedim(-1, 1)


def noise(channels: int = 4) -> Tensor:
    return torch.randn(1, channels, HEIGHT // 8, WIDTH // 8, generator=torch.Generator().manual_seed(5))


def net_of(unet: Any, seed: int) -> Any:
    """A ControlNet that fits a UNet, all of its weights at random."""
    from diffusers import ControlNetModel

    kind: Any = ControlNetModel
    with seeded(seed):
        return calmed(stirred(kind.from_unet(unet, conditioning_embedding_out_channels=SHALLOW)))


def calmed(network: nn.Module) -> nn.Module:
    """Its ways out a quarter as loud, so that what is added does not drown what it is added to (and rounding with it)."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.startswith("controlnet_") and "embed" not in name:
                parameter.mul_(0.25)
    return network


def written(library: ModelLibrary, name: str, network: nn.Module | dict[str, Tensor]) -> ControlNet:
    """The network as a file, loaded."""
    state = network.state_dict() if isinstance(network, nn.Module) else network
    path = Path(library.folders.models) / "controlnet" / f"{name}.safetensors"
    save_file({key: tensor.contiguous().clone() for key, tensor in state.items()}, path)
    return library.load_control_net(path.name)


def with_control(conditioning: Any, control: AppliedControl) -> list[Any]:
    return [[embedding, {**extras, "control": control}] for embedding, extras in conditioning]
