"""Tiny real networks, and one change of weights written in every published format."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

CROSS_WIDTH = 24


def unet(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    network: nn.Module = UNet2DConditionModel(  # type: ignore[no-untyped-call, assignment]
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=CROSS_WIDTH,
        attention_head_dim=8,
        norm_num_groups=4,
    )
    return network.eval()


def text_encoder(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    config = CLIPTextConfig(
        vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=12, bos_token_id=48, eos_token_id=49, pad_token_id=49,
    )  # fmt: skip
    network: nn.Module = CLIPTextModel(config)
    return network.eval()


def denoised(network: nn.Module) -> Tensor:
    """The UNet's answer to one fixed question."""
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(2, 4, 8, 8, generator=generator)
    tokens = torch.randn(2, 5, CROSS_WIDTH, generator=generator)
    with torch.no_grad():
        answer: Tensor = network(x, torch.tensor([3, 500]), encoder_hidden_states=tokens).sample
    return answer


def encoded(network: nn.Module) -> Tensor:
    """The text encoder's answer to one fixed question."""
    with torch.no_grad():
        answer: Tensor = network(torch.tensor([[48, 3, 7, 9, 49, 49]])).last_hidden_state
    return answer


def merged(network: nn.Module, changes: Mapping[str, Tensor], strength: float = 1.0) -> nn.Module:
    """A copy of the network whose weights are changed in the plain way. Names are of parameters, or of modules for their weights."""
    changed = copy.deepcopy(network)
    with torch.no_grad():
        for name, change in changes.items():
            parameter = dict(changed.named_parameters()).get(name)
            parameter = changed.get_parameter(f"{name}.weight") if parameter is None else parameter
            parameter.add_(change.reshape(parameter.shape), alpha=strength)
    return changed


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def random_factors(rows: int, columns: int, rank: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """`up` [rows, rank] and `down` [rank, columns] of a size that moves outputs visibly but not wildly."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, rank, generator=generator) * 0.3, torch.randn(rank, columns, generator=generator) * 0.3


LINEAR = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
OUT = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0"
CONV = "down_blocks.0.resnets.0.conv1"
POINTWISE = "down_blocks.0.attentions.0.proj_in"
STRIDED = "down_blocks.0.downsamplers.0.conv"
