"""Nodes that steer by pictures: what they put onto prompts, and a graph of them run on tiny networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from marquetry.engine.context import Context, Services
from marquetry.engine.declare import node_type
from marquetry.engine.errors import Interrupted, NodeFailed
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.registry import describe
from marquetry.nodes import control
from tests import checkpoints
from tests.engine.models.control import test_sd3
from tests.engine.models.control.tiny import net_of, picture
from tests.engine.models.families.tiny import library_at, ours

WHEN = ["strength", "start_percent", "end_percent"]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    library = library_at(tmp_path_factory.mktemp("data"))
    checkpoints.write_checkpoint(library.folders.models / "checkpoints/sd1.safetensors")
    for number in range(4):
        state = net_of(checkpoints.networks("sd1").unet, number).state_dict()
        save_file({name: tensor.clone() for name, tensor in state.items()}, library.folders.models / f"controlnet/{number}.safetensors")
    for name, extra in (("sd3", 0), ("inpaint", 1)):
        state = {key: tensor.clone() for key, tensor in test_sd3.net(extra).state_dict().items()}
        save_file(state, Path(library.folders.models) / f"controlnet/{name}.safetensors")
    return library


@pytest.fixture
def context(library: ModelLibrary) -> Context:
    return Context(Services(library.folders, library))


@pytest.fixture
def prompts(library: ModelLibrary) -> tuple[Any, Any]:
    clip = library.load_checkpoint("sd1.safetensors").clip
    assert clip is not None
    return clip.encode_conditioning("a red cat"), clip.encode_conditioning("blurry")


def sampled(library: ModelLibrary, prompts: tuple[Any, Any]) -> Tensor:
    noise = torch.randn(1, 4, 8, 16, generator=torch.Generator().manual_seed(5))
    return ours(library.load_checkpoint("sd1.safetensors").model, *prompts, noise, (14.6, 2.0, 0.5, 0.0), 2.0)


@pytest.mark.parametrize(
    ("function", "id", "required", "optional", "outputs"),
    [
        (control.load_control_net, "ControlNetLoader", ["control_net_name"], [], ["CONTROL_NET"]),
        (control.load_difference, "DiffControlNetLoader", ["model", "control_net_name"], [], ["CONTROL_NET"]),
        (control.apply_old, "ControlNetApply", ["conditioning", "control_net", "image", "strength"], [], ["CONDITIONING"]),
        (
            control.apply, "ControlNetApplyAdvanced", ["positive", "negative", "control_net", "image", *WHEN], ["vae"],
            ["CONDITIONING", "CONDITIONING"],
        ),
        (
            control.apply_with_vae, "ControlNetApplySD3", ["positive", "negative", "control_net", "vae", "image", *WHEN], [],
            ["CONDITIONING", "CONDITIONING"],
        ),
        (control.set_union_type, "SetUnionControlNetType", ["control_net", "type"], [], ["CONTROL_NET"]),
        (
            control.apply_inpainting, "ControlNetInpaintingAliMamaApply",
            ["positive", "negative", "control_net", "vae", "image", "mask", *WHEN], [], ["CONDITIONING", "CONDITIONING"],
        ),
    ],
)  # fmt: skip
def test_shape_is_comfyuis(context: Context, function: Any, id: str, required: list[str], optional: list[str], outputs: list[str]) -> None:
    described = describe(node_type(function), context.folders)
    inputs = described["input"]
    assert (described["name"], list(inputs["required"]), list(inputs.get("optional", {}))) == (id, required, optional)
    assert described["output"] == outputs


@pytest.mark.parametrize("count", [3, 4])
def test_a_stack_equals_applying_one_after_the_other(library: ModelLibrary, context: Context, prompts: tuple[Any, Any], count: int) -> None:
    one_by_one, stack = prompts, None
    for number in range(count):
        net = control.load_control_net(f"{number}.safetensors", context)
        times = (0.4 + 0.1 * number, 0.0, 1.0 - 0.2 * number)
        made = control.apply(*one_by_one, net, picture(number), *times)
        one_by_one = made.positive, made.negative
        stack = control.stack(net, picture(number), *times, control_stack=stack)
    together = control.apply_stack(*prompts, stack)
    chain = list(together.positive[0][1]["control"].chain())
    assert len(chain) == count and together.positive[0][1]["control"] is together.negative[0][1]["control"]
    assert torch.equal(sampled(library, one_by_one), sampled(library, together))
    assert not torch.equal(sampled(library, one_by_one), sampled(library, prompts))


def test_a_mask_of_the_stack_holds_control_back(library: ModelLibrary, context: Context, prompts: tuple[Any, Any]) -> None:
    net = control.load_control_net("0.safetensors", context)
    masked = control.stack(net, picture(), mask=torch.zeros(1, 64, 128))
    torch.testing.assert_close(sampled(library, control.apply_stack(*prompts, masked)), sampled(library, prompts), atol=1e-5, rtol=0)


def test_the_old_node_steers_a_negative_prompt_alike(library: ModelLibrary, context: Context, prompts: tuple[Any, Any]) -> None:
    net = control.load_control_net("0.safetensors", context)
    old = control.apply_old(prompts[0], net, picture(), 0.7)
    new = control.apply(*prompts, net, picture(), 0.7)
    assert torch.equal(sampled(library, (old, prompts[1])), sampled(library, new))


def test_without_strength_nothing_is_applied(context: Context, prompts: tuple[Any, Any]) -> None:
    net = control.load_control_net("0.safetensors", context)
    assert control.apply(*prompts, net, picture(), 0.0) == prompts
    assert control.apply_old(prompts[0], net, picture(), 0.0) is prompts[0]
    assert control.stack(net, picture(), 0.0) == ()


def test_a_net_that_reads_latents_asks_for_a_vae(context: Context, prompts: tuple[Any, Any]) -> None:
    net = control.load_control_net("sd3.safetensors", context)
    with pytest.raises(NodeFailed, match="connect a VAE to 'vae'"):
        control.apply(*prompts, net, picture())


def test_inpainting_hides_what_is_masked_and_tells_what_to_keep(context: Context, prompts: tuple[Any, Any]) -> None:
    mask = torch.zeros(1, 32, 64)
    mask[:, :, 32:] = 1.0
    vae: Any = object()
    net = control.load_control_net("inpaint.safetensors", context)
    applied = control.apply_inpainting(*prompts, net, vae, picture(), mask).positive[0][1]["control"]
    assert not applied.image[:, :, 64:].any() and torch.equal(applied.image[:, :, :64], picture()[:, :, :64])
    assert applied.keep[:, :, :64].all() and not applied.keep[:, :, 64:].any()
    plain = control.apply_inpainting(*prompts, control.load_control_net("sd3.safetensors", context), vae, picture(), mask)
    assert torch.equal(plain.positive[0][1]["control"].image, picture()) and plain.positive[0][1]["control"].keep is None


def test_types_of_nets_that_are_no_union_change_nothing(context: Context, prompts: tuple[Any, Any], library: ModelLibrary) -> None:
    net = control.load_control_net("0.safetensors", context)
    typed = control.set_union_type(net, "depth")
    assert torch.equal(*(sampled(library, control.apply(*prompts, each, picture())) for each in (net, typed)))


@pytest.mark.parametrize(("name", "family"), [("0", "sd1"), ("sd3", "sd3")])
def test_the_store_says_whom_a_file_steers(library: ModelLibrary, name: str, family: str) -> None:
    shown = library.store.show("controlnet", f"{name}.safetensors")
    assert (shown.family, shown.layout, shown.parts) == (family, "diffusers", ("control",))


def test_a_cancelled_run_lets_go_of_its_nets(library: ModelLibrary, context: Context, prompts: tuple[Any, Any]) -> None:
    from marquetry.engine.sampling.driver import sample
    from marquetry.engine.sampling.guiders import CFGGuider
    from marquetry.engine.sampling.registry import sampler_choice

    steered = control.apply(*prompts, control.load_control_net("0.safetensors", context), picture())
    guider = CFGGuider(library.load_checkpoint("sd1.safetensors").model, *steered, 2.0)
    asked: list[int] = []

    def check() -> None:
        asked.append(1)
        if len(asked) == 2:
            raise Interrupted("stopped")

    start = torch.zeros(1, 4, 8, 16)
    with pytest.raises(Interrupted):
        sample(guider, sampler_choice("euler"), torch.tensor([14.6, 2.0, 0.0]), start, start, seed=0, check_cancelled=check)
    assert len(asked) == 2 and all(each.users == 0 for each in library.residency.snapshot()["networks"])
