"""DoRA: against the paper's formula, and against PEFT."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
from torch import Tensor, nn

from marquetry.engine.models.adapters.apply import applied
from marquetry.engine.models.adapters.read import read_adapter
from tests.engine.models.adapters import networks
from tests.engine.models.adapters.networks import CONV, LINEAR, denoised, merged, random_factors


def decomposed(weight: Tensor, change: Tensor, magnitude: Tensor, axis: int) -> Tensor:
    """The paper's m · (W + ΔW) / |W + ΔW| - W, with the norm over every axis but one."""
    changed = weight + change.reshape(weight.shape)
    others = tuple(index for index in range(weight.ndim) if index != axis)
    return magnitude * changed / changed.square().sum(dim=others, keepdim=True).sqrt() - weight


@pytest.mark.parametrize("module", [LINEAR, CONV])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_dora_brings_the_changed_weight_to_its_magnitude(module: str, axis: int, strength: float) -> None:
    network = networks.unet()
    weight = network.get_parameter(f"{module}.weight").detach()
    up, down = random_factors(weight.shape[0], weight[0].numel())
    shape = [1] * weight.ndim
    shape[axis] = -1
    magnitude = (torch.rand(weight.shape[axis], generator=torch.Generator().manual_seed(2)) + 0.5).reshape(shape)
    name = "lora_unet_" + module.replace(".", "_")
    state = {
        f"{name}.lora_up.weight": up if weight.ndim == 2 else up[:, :, None, None],
        f"{name}.lora_down.weight": down.reshape(3, *weight.shape[1:]),
        f"{name}.alpha": torch.tensor(1.5),
        f"{name}.dora_scale": magnitude,
    }
    change = decomposed(weight, up @ down * 0.5, magnitude, axis)
    one = read_adapter(state, content_hash=f"dora {module} {axis}").for_network(network).applied(strength)
    with applied(network, [one]):
        adapted = denoised(network)
    assert torch.allclose(adapted, denoised(merged(network, {module: change}, strength)), atol=1e-5)


@pytest.mark.parametrize("kind", ["hada", "lokr", "diff"])
def test_dora_goes_with_every_kind_of_direction(kind: str) -> None:
    network = networks.unet()
    weight = network.get_parameter(f"{LINEAR}.weight").detach()
    magnitude = torch.rand(16, 1, generator=torch.Generator().manual_seed(2)) + 0.5
    up, down = random_factors(16, 24, 2, 1)
    first, second = random_factors(4, 4, 4, 2)[0], random_factors(4, 6, 4, 3)[1]
    directions: dict[str, tuple[dict[str, Tensor], Tensor]] = {
        "hada": ({"hada_w1_a": up, "hada_w1_b": down, "hada_w2_a": up, "hada_w2_b": down}, (up @ down) ** 2),
        "lokr": ({"lokr_w1": first, "lokr_w2": second}, torch.kron(first, second)),
        "diff": ({"diff": up @ down}, up @ down),
    }
    tensors, change = directions[kind]
    state = {f"lora_unet_{LINEAR.replace('.', '_')}.{name}": tensor for name, tensor in (tensors | {"dora_scale": magnitude}).items()}
    one = read_adapter(state, content_hash=f"dora of {kind}").for_network(network).applied(1.0)
    with applied(network, [one]):
        adapted = denoised(network)
    assert torch.allclose(adapted, denoised(merged(network, {LINEAR: decomposed(weight, change, magnitude, 0)})), atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*have invalid shape")  # PEFT mistakes biases for torn weights
@pytest.mark.parametrize(
    "options", [{}, {"use_dora": True}, {"use_rslora": True}, {"lora_bias": True, "target_modules": ["to_out.0", "conv1"]}]
)
def test_peft_s_own_model_gives_the_same(options: dict[str, Any]) -> None:
    network = networks.unet()
    torch.manual_seed(11)
    chosen: dict[str, Any] = {"r": 3, "lora_alpha": 5, "target_modules": ["to_q", "to_k", "to_out.0", "conv1", "proj_in"]} | options
    theirs: nn.Module = inject_adapter_in_model(LoraConfig(**chosen, init_lora_weights=False), copy.deepcopy(network)).eval()
    state = {f"unet.{name}": tensor for name, tensor in get_peft_model_state_dict(theirs).items()}
    written = f'{{"unet.lora_alpha": 5, "unet.use_rslora": {"true" if options.get("use_rslora") else "false"}}}'
    ours = read_adapter(state, content_hash=f"peft {sorted(options)}", metadata={"lora_adapter_metadata": written})
    matched = ours.for_network(network)
    assert ours.unknown == () and matched.misfits == ()
    with applied(network, [matched.applied(1.0)]):
        assert torch.allclose(denoised(network), denoised(theirs), atol=1e-5)
    assert not torch.allclose(denoised(network), denoised(theirs), atol=1e-3)
