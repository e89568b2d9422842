"""LoRAs in the original names of Flux and Stable Diffusion 3 change what diffusers' networks compute, as merged weights do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from marquetry.engine.models.adapters.apply import applied
from marquetry.engine.models.adapters.read import read_adapter
from tests.engine.models.families import test_flux, test_sd3
from tests.engine.models.families.tiny import seeded

RANK = 3
State = dict[str, Tensor]


def change(published: Mapping[str, Tensor]) -> tuple[State, State]:
    """A LoRA of every matrix by its published name, and the matrices with it merged in."""
    factors: State = {}
    merged: State = dict(published)
    generator = torch.Generator().manual_seed(3)
    for name, tensor in published.items():
        if tensor.ndim == 2 and name.endswith(".weight"):
            up = torch.randn(tensor.shape[0], RANK, generator=generator) * 0.2
            down = torch.randn(RANK, tensor.shape[1], generator=generator) * 0.2
            module = name.removesuffix(".weight")
            factors |= {f"{module}.lora_A.weight": down, f"{module}.lora_B.weight": up}
            merged[name] = tensor + up @ down
    return factors, merged


def kohya(factors: State) -> State:
    """The same in kohya's names."""
    ends = {"lora_A": "lora_down", "lora_B": "lora_up"}
    made: State = {}
    for name, tensor in factors.items():
        module, end, _ = name.rsplit(".", 2)
        made[f"lora_unet_{module.replace('.', '_')}.{ends[end]}.weight"] = tensor
    return made


def flux_output(network: Any) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        output: Tensor = network(
            torch.randn(1, 16, 64, generator=generator), encoder_hidden_states=torch.randn(1, 5, 64, generator=generator),
            pooled_projections=torch.randn(1, 64, generator=generator), timestep=torch.tensor([0.5]), guidance=torch.tensor([2.0]),
            img_ids=torch.rand(16, 3, generator=generator), txt_ids=torch.zeros(5, 3), return_dict=False,
        )[0]  # fmt: skip
    return output


def sd3_output(network: Any) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        output: Tensor = network(
            torch.randn(1, 16, 8, 8, generator=generator), encoder_hidden_states=torch.randn(1, 5, 256, generator=generator),
            pooled_projections=torch.randn(1, 192, generator=generator), timestep=torch.tensor([500.0]), return_dict=False,
        )[0]  # fmt: skip
    return output


def flux() -> Any:
    with seeded(3):
        return test_flux.transformer()


def sd3() -> Any:
    return test_sd3.pipeline(True).transformer


KINDS: dict[str, tuple[Callable[[], Any], Callable[[Any], State], Callable[[Any], Tensor]]] = {
    "flux": (flux, test_flux.published, flux_output),
    "sd3": (sd3, test_sd3.published, sd3_output),
}


@pytest.mark.parametrize("style", ["original", "kohya"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_matrix_is_changed_as_if_it_were_merged(tmp_path: Path, kind: str, style: str) -> None:
    make, published, output = KINDS[kind]
    network = make()
    factors, merged = change(published(network))
    save_file(factors if style == "original" else kohya(factors), tmp_path / "lora.safetensors")
    adapter = read_adapter(tmp_path / "lora.safetensors", content_hash=f"{kind} {style}")
    match = adapter.for_network(network)
    assert not match.misfits and len(match.matched) == len(factors) // 2
    with applied(network, [match.applied(1.0)]):
        made = output(network)
    before, expected = output(network), output(with_weights(network, published, merged))
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)
    assert (made - before).abs().max() > 0.01


def with_weights(network: Any, published: Callable[[Any], State], merged: State) -> Any:
    """A copy whose published form is `merged`: each of its own weights is found by writing its number into it."""
    import copy

    changed, numbered = copy.deepcopy(network), copy.deepcopy(network)
    with torch.no_grad():
        first = 0
        for parameter in numbered.parameters():
            numbers = torch.arange(first, first + parameter.numel(), dtype=torch.float64)
            parameter.data = numbers.reshape(parameter.shape)
            first += parameter.numel()
        for buffer in numbered.buffers():
            buffer.data = torch.full_like(buffer, -1.0)
        values = torch.cat([parameter.flatten() for parameter in changed.parameters()])
        for name, numbers in published(numbered).items():
            known = numbers.flatten() >= 0
            values[numbers.flatten()[known].long()] = merged[name].flatten()[known]
        first = 0
        for parameter in changed.parameters():
            parameter.copy_(values[first : first + parameter.numel()].reshape(parameter.shape))
            first += parameter.numel()
    return changed
