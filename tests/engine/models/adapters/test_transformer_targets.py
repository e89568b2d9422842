"""LoRAs in the original names of Flux, Stable Diffusion 3, Z-Image and Lumina 2 change what diffusers' networks compute, as merged weights do."""

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
from tests.engine.models.families import test_flux, test_lumina2, test_sd3, test_z_image
from tests.engine.models.families.tiny import library_at, ours, seeded

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


def refined_output(network: Any) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    picture, words = torch.randn(1, 16, 8, 8, generator=generator), torch.randn(1, 5, 64, generator=generator)
    with torch.no_grad():
        if hasattr(network, "time_caption_embed"):
            output: Tensor = network(picture, torch.tensor([0.5]), words, torch.ones(1, 5, dtype=torch.long), return_dict=False)[0]
            return output
        return torch.stack(list(network([picture[0, :, None]], torch.tensor([0.5]), [words[0]], return_dict=False)[0]))


def used(published: Callable[[Any], State]) -> Callable[[Any], State]:
    """Without the norm that nothing reads."""
    return lambda network: {name: tensor for name, tensor in published(network).items() if not name.startswith("norm_final")}


def flux() -> Any:
    with seeded(3):
        return test_flux.transformer()


def sd3() -> Any:
    return test_sd3.pipeline(True).transformer


KINDS: dict[str, tuple[Callable[[], Any], Callable[[Any], State], Callable[[Any], Tensor]]] = {
    "flux": (flux, test_flux.published, flux_output),
    "sd3": (sd3, test_sd3.published, sd3_output),
    "z_image": (lambda: test_z_image.pipeline().transformer, used(test_z_image.published), refined_output),
    "lumina2": (lambda: test_lumina2.pipeline().transformer, used(test_lumina2.published), refined_output),
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


def test_flux_reads_a_picture_beside_the_latent_through_an_adapter_that_widens_it(tmp_path: Path) -> None:
    library = library_at(tmp_path)
    pipe = test_flux.pipeline()
    narrow = test_flux.published(pipe.transformer)
    wide = {**narrow, "img_in.weight": torch.nn.functional.pad(narrow["img_in.weight"], (0, 64))}
    factors, merged = change(wide)
    folders = library.folders.models
    for place, state in (("loras/x", factors), ("diffusion_models/narrow", narrow), ("diffusion_models/wide", merged)):
        (folders / place).parent.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.clone() for name, tensor in state.items()}, folders / f"{place}.safetensors")
    adapter = read_adapter(folders / "loras/x.safetensors", content_hash="wide")
    model = library.load_diffusion_model("narrow.safetensors").with_adapter(adapter, 1.0)
    assert (model.in_channels, library.load_diffusion_model("narrow.safetensors").in_channels) == (128, 64)
    generator = torch.Generator().manual_seed(2)
    noise, picture = (torch.randn(1, 16, 8, 16, generator=generator) for _ in range(2))
    prompt = [[torch.randn(1, 5, 64, generator=generator), {"pooled_output": torch.zeros(1, 64), "concat_latent_image": picture}]]
    made = ours(model, prompt, None, noise, [1.0, 0.5, 0.0], 1.0)
    expected = ours(library.load_diffusion_model("wide.safetensors"), prompt, None, noise, [1.0, 0.5, 0.0], 1.0)
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)
