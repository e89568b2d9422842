"""ControlNets of SD1 against diffusers' pipeline on the same tiny weights; stacks, ranges, masks, layouts."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from marquetry.engine.errors import ModelFormatError, NodeFailed
from marquetry.engine.models.control.control_net import AppliedControl, ControlNet
from marquetry.engine.models.families.registry import family
from marquetry.engine.models.library import ModelLibrary
from marquetry.engine.models.stable_diffusion import sizes_of
from marquetry.engine.training.controlnet_file import original_names, write_controlnet
from tests import checkpoints
from tests.checkpoints import header_of
from tests.engine.models.control.tiny import HEIGHT, WIDTH, net_of, noise, picture, planes, with_control, written
from tests.engine.models.families.tiny import ours

STEPS, GUIDANCE = 4, 2.0  # more guidance, and rounding in latents of 60 is more than 1e-4


@functools.cache
def net(seed: int) -> Any:
    return net_of(checkpoints.networks("sd1").unet, seed)


def run(library: ModelLibrary, prompts: tuple[Any, Any], control: AppliedControl | None, start: Tensor | None = None) -> Tensor:
    positive, negative = (words if control is None else with_control(words, control) for words in prompts)
    model = library.load_checkpoint("sd1.safetensors").model
    return ours(model, positive, negative, noise() if start is None else start, scheduler().sigmas.tolist(), GUIDANCE)


@functools.cache
def scheduler() -> Any:
    import diffusers

    classes: Any = diffusers
    made = classes.EulerDiscreteScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, timestep_spacing="linspace", steps_offset=0
    )
    made.set_timesteps(STEPS)
    return made


def by_diffusers(prompts: tuple[Any, Any], nets: Any, images: Any, **options: Any) -> Tensor:
    import diffusers

    classes: Any = diffusers
    made = checkpoints.networks("sd1")
    pipe = classes.StableDiffusionControlNetPipeline(
        vae=made.vae, text_encoder=None, tokenizer=None, unet=made.unet, controlnet=nets, scheduler=scheduler(), safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    highest = float(scheduler().sigmas[0])
    with torch.no_grad():
        found: Tensor = pipe(
            prompt_embeds=prompts[0][0][0], negative_prompt_embeds=prompts[1][0][0], image=images, height=HEIGHT, width=WIDTH,
            num_inference_steps=STEPS, guidance_scale=GUIDANCE, latents=noise() * (1 + highest**2) ** 0.5 / highest, output_type="latent",
            **options,
        ).images  # fmt: skip
    return found


def test_four_steps_of_euler_with_one_equal_diffusers(library: ModelLibrary, nets: list[ControlNet], prompts: tuple[Any, Any]) -> None:
    expected = by_diffusers(prompts, net(0), planes(picture()), controlnet_conditioning_scale=0.8)
    made = run(library, prompts, AppliedControl(nets[0], picture(), 0.8))
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)
    assert (made - run(library, prompts, None)).abs().max() > 0.01


def test_two_with_strengths_and_ranges_of_their_own_equal_diffusers(
    library: ModelLibrary, nets: list[ControlNet], prompts: tuple[Any, Any]
) -> None:
    expected = by_diffusers(
        prompts, [net(0), net(1)], [planes(picture(1)), planes(picture(2))], controlnet_conditioning_scale=[0.5, 1.2],
        control_guidance_start=[0.0, 0.5], control_guidance_end=[0.5, 1.0],
    )  # fmt: skip
    first = AppliedControl(nets[0], picture(1), 0.5, 0.0, 0.5)
    both = AppliedControl(nets[1], picture(2), 1.2, 0.5, 1.0, previous=first)
    torch.testing.assert_close(run(library, prompts, both), expected, atol=1e-4, rtol=1e-4)


def stacked(nets: list[ControlNet]) -> AppliedControl:
    control: AppliedControl | None = None
    for number, each in enumerate(nets):
        control = AppliedControl(each, picture(number), 0.5 + 0.2 * number, previous=control)
    assert control is not None
    return control


@pytest.mark.parametrize("count", [3, 4])
def test_several_at_once_are_the_sum_of_each(library: ModelLibrary, nets: list[ControlNet], count: int) -> None:
    model = library.load_checkpoint("sd1.safetensors").model
    x, sigma = noise(), torch.tensor([1.0])
    context = torch.randn(1, 77, 64, generator=torch.Generator().manual_seed(3))
    chain = stacked(nets[:count])

    def residuals(control: AppliedControl) -> dict[str, Any]:
        with torch.no_grad(), model.resident.use() as unet:
            run = control.prepared(model, x)
            return run.residuals(unet, x, torch.tensor([100.0]), sigma, {"context": context})

    whole = residuals(chain)
    parts = [residuals(AppliedControl(link.net, link.image, link.strength)) for link in chain.chain()]
    assert len(parts) == count
    for name in ("down_block_additional_residuals", "mid_block_additional_residual"):
        for index, total in enumerate(whole[name]):
            torch.testing.assert_close(total, sum(part[name][index] for part in parts), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("count", [3, 4])
def test_several_at_once_equal_diffusers(library: ModelLibrary, nets: list[ControlNet], prompts: tuple[Any, Any], count: int) -> None:
    expected = by_diffusers(
        prompts, [net(number) for number in range(count)], [planes(picture(number)) for number in range(count)],
        controlnet_conditioning_scale=[0.5 + 0.2 * number for number in range(count)],
    )  # fmt: skip
    torch.testing.assert_close(run(library, prompts, stacked(nets[:count])), expected, atol=1e-4, rtol=1e-4)


def test_a_mask_of_zeros_is_no_control_and_one_of_ones_is_all(
    library: ModelLibrary, nets: list[ControlNet], prompts: tuple[Any, Any]
) -> None:
    plain, full = run(library, prompts, None), run(library, prompts, AppliedControl(nets[0], picture()))
    masked = [run(library, prompts, AppliedControl(nets[0], picture(), mask=torch.full((1, 50, 60), value))) for value in (0.0, 1.0)]
    torch.testing.assert_close(masked[0], plain, atol=1e-6, rtol=0)
    torch.testing.assert_close(masked[1], full, atol=1e-6, rtol=0)


def test_a_mask_keeps_control_out_of_the_rest(library: ModelLibrary, nets: list[ControlNet]) -> None:
    model = library.load_checkpoint("sd1.safetensors").model
    mask = torch.zeros(1, HEIGHT, WIDTH)
    mask[:, :, : WIDTH // 2] = 1.0
    with torch.no_grad(), model.resident.use() as unet:
        run = AppliedControl(nets[0], picture(), mask=mask).prepared(model, noise())
        values = {"context": torch.zeros(1, 77, 64)}
        parts = run.residuals(unet, noise(), torch.tensor([100.0]), torch.tensor([1.0]), values)["down_block_additional_residuals"]
    assert all(not part[..., part.shape[-1] // 2 :].any() and part[..., : part.shape[-1] // 2].any() for part in parts)


def test_control_without_strength_or_out_of_its_time_is_none(
    library: ModelLibrary, nets: list[ControlNet], prompts: tuple[Any, Any]
) -> None:
    plain = run(library, prompts, None)
    assert torch.equal(run(library, prompts, AppliedControl(nets[0], picture(), 0.0)), plain)
    assert torch.equal(run(library, prompts, AppliedControl(nets[0], picture(), 1.0, 0.4, 0.5)), plain)  # between two steps


def test_control_of_the_positive_prompt_alone_differs_from_that_of_both(
    library: ModelLibrary, nets: list[ControlNet], prompts: tuple[Any, Any]
) -> None:
    control = AppliedControl(nets[0], picture())
    both = run(library, prompts, control)
    model, levels = library.load_checkpoint("sd1.safetensors").model, scheduler().sigmas.tolist()
    marked = [[words, {**extras, "control_apply_to_uncond": True}] for words, extras in with_control(prompts[0], control)]
    assert torch.equal(ours(model, marked, prompts[1], noise(), levels, GUIDANCE), both)
    alone = ours(model, with_control(prompts[0], control), prompts[1], noise(), levels, GUIDANCE)
    assert (alone - both).abs().max() > 1e-3


def test_every_picture_of_a_batch_gets_its_own_hint(library: ModelLibrary, nets: list[ControlNet], prompts: tuple[Any, Any]) -> None:
    images = picture(7, count=2)
    twice = run(library, prompts, AppliedControl(nets[0], images), torch.cat([noise(), noise()]))
    for number in range(2):
        alone = run(library, prompts, AppliedControl(nets[0], images[number : number + 1]))
        torch.testing.assert_close(twice[number : number + 1], alone, atol=1e-4, rtol=1e-4)


def test_both_layouts_and_the_bare_one_are_the_same_to_the_last_bit(
    library: ModelLibrary, nets: list[ControlNet], prompts: tuple[Any, Any]
) -> None:
    unet = checkpoints.networks("sd1").unet.state_dict()
    found = family("sd1").recognise(header_of({f"unet.{name}": tensor for name, tensor in unet.items()}), {})
    assert found is not None and found.denoiser is not None
    original = original_names(net(0).state_dict(), sizes_of(found.denoiser))
    written(library, "original", original)
    written(library, "bare", {name.removeprefix("control_model."): tensor for name, tensor in original.items()})
    expected = run(library, prompts, AppliedControl(nets[0], picture()))
    for name in ("original", "bare"):
        loaded = library.load_control_net(f"{name}.safetensors")
        assert (loaded.found.layout, loaded.found.families) == ("original", ("sd1",))
        with loaded.resident.use() as read, nets[0].resident.use() as other:
            states = read.state_dict(), other.state_dict()
        assert states[0].keys() == states[1].keys() and all(torch.equal(states[0][key], states[1][key]) for key in states[0])
        torch.testing.assert_close(run(library, prompts, AppliedControl(loaded, picture())), expected, atol=1e-4, rtol=1e-4)


def test_what_the_trainer_writes_is_read(library: ModelLibrary) -> None:
    unet = checkpoints.networks("sd1").unet.state_dict()
    found = family("sd1").recognise(header_of({f"unet.{name}": tensor for name, tensor in unet.items()}), {})
    assert found is not None and found.denoiser is not None
    for layout in ("original", "diffusers"):
        path = Path(library.folders.models) / f"controlnet/trained-{layout}.safetensors"
        write_controlnet(path, net(0).state_dict(), sizes_of(found.denoiser), {}, layout)
        with library.load_control_net(path.name).resident.use() as network:
            read = network.state_dict()
        assert all(torch.equal(read[name], tensor.half().float()) for name, tensor in net(0).state_dict().items())


def test_a_difference_is_added_to_its_model(library: ModelLibrary, nets: list[ControlNet], prompts: tuple[Any, Any]) -> None:
    base = checkpoints.networks("sd1").unet.state_dict()
    state = {name: tensor - base[name] if name in base else tensor for name, tensor in net(0).state_dict().items()}
    from safetensors.torch import save_file

    path = Path(library.folders.models) / "controlnet/diff.safetensors"
    save_file({name: tensor.clone() for name, tensor in state.items()} | {"difference": torch.zeros(0)}, path)
    with pytest.raises(NodeFailed, match="DiffControlNetLoader"):
        library.load_control_net("diff.safetensors")
    loaded = library.load_control_net("diff.safetensors", library.load_checkpoint("sd1.safetensors").model)
    made = run(library, prompts, AppliedControl(loaded, picture()))
    torch.testing.assert_close(made, run(library, prompts, AppliedControl(nets[0], picture())), atol=1e-3, rtol=1e-4)


def test_a_net_of_another_family_is_refused_by_name(library: ModelLibrary, prompts: tuple[Any, Any]) -> None:
    other = written(library, "sd2", net_of(checkpoints.networks("sd2").unet, 9))
    assert other.found.families == ("sd2",)
    with pytest.raises(NodeFailed, match=r"sd2\.safetensors steers models of sd2; this one is of sd1"):
        run(library, prompts, AppliedControl(other, picture()))


def test_a_file_that_holds_no_control_is_refused_with_what_it_is(library: ModelLibrary) -> None:
    from safetensors.torch import save_file

    folder = Path(library.folders.models) / "controlnet"
    save_file({"some.block.weight": torch.zeros(1)}, folder / "x.safetensors")
    with pytest.raises(ModelFormatError, match=r"x\.safetensors: detected 1 tensors named some\.block\.\*"):
        library.load_control_net("x.safetensors")


def test_nets_are_resident_while_sampling_and_idle_after(library: ModelLibrary, nets: list[ControlNet], prompts: tuple[Any, Any]) -> None:
    control = stacked(nets[:2])
    with control.loaded():
        users = {each.label: each.users for each in library.residency.snapshot()["networks"]}
        assert users["net0.safetensors (control)"] == users["net1.safetensors (control)"] == 1
    run(library, prompts, control)
    assert all(each.users == 0 for each in library.residency.snapshot()["networks"])
