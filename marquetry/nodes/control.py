"""Pictures that steer: ControlNets and T2I-Adapters, applied to prompts one by one or as a stack of any length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.lazy import functional
from marquetry.engine.ports import Conditioning, ControlNet, ControlStack, File, Image, Mask, Model, Range, Tip, Vae

if TYPE_CHECKING:
    from marquetry.engine.models.control.control_net import AppliedControl

CATEGORY = "conditioning/controlnet"
UnionType = Literal[
    "auto", "openpose", "depth", "hed/pidi/scribble/ted", "canny/lineart/anime_lineart/mlsd", "normal", "segment", "tile", "repaint"
]
NetFile = Annotated[str, File("controlnet")]
Strength = Annotated[float, Range(0.0, 10.0, step=0.01)]
Moment = Annotated[float, Range(0.0, 1.0, step=0.001), Tip("Of the way from pure noise (0) to the finished picture (1).")]


class Steered(NamedTuple):
    positive: Conditioning
    negative: Conditioning


@node(id="ControlNetLoader", title="Load ControlNet Model", category="loaders", aliases=("controlnet", "control net", "t2i adapter"))
def load_control_net(control_net_name: NetFile, context: Context) -> ControlNet:
    """Loads a network that steers a denoiser by a picture: a ControlNet or a T2I-Adapter; of which family shows in the file."""
    return context.models.load_control_net(control_net_name)


@node(id="DiffControlNetLoader", title="Load ControlNet Model (diff)", category="loaders")
def load_difference(model: Model, control_net_name: NetFile, context: Context) -> ControlNet:
    """As Load ControlNet Model, also for files that hold the difference to a model, which is added to it."""
    return context.models.load_control_net(control_net_name, model)


@node(id="ControlNetApply", title="Apply ControlNet (OLD)", category=CATEGORY, deprecated=True)
def apply_old(conditioning: Conditioning, control_net: ControlNet, image: Image, strength: Strength = 1.0) -> Conditioning:
    """Steers by a picture; a negative prompt that has no control of its own is steered alike."""
    if strength == 0:
        return conditioning
    (steered,) = controlled((conditioning,), [applied(control_net, image, strength)])
    return [[embedding, {**options, "control_apply_to_uncond": True}] for embedding, options in steered]


@node(id="ControlNetApplyAdvanced", title="Apply ControlNet", category=CATEGORY, aliases=("controlnet", "steer", "pose", "depth"))
def apply(
    positive: Conditioning,
    negative: Conditioning,
    control_net: ControlNet,
    image: Image,
    strength: Strength = 1.0,
    start_percent: Moment = 0.0,
    end_percent: Moment = 1.0,
    vae: Vae | None = None,
) -> Steered:
    """Steers both prompts by a picture, during a part of the sampling. Applied again, with this or another network, all count together.

    Networks of SD3, Flux and Qwen-Image read latents and need the `vae`.
    """
    if strength == 0:
        return Steered(positive, negative)
    return Steered(*controlled((positive, negative), [applied(control_net, image, strength, start_percent, end_percent, vae)]))


@node(id="ControlNetApplySD3", title="Apply Controlnet with VAE", category=CATEGORY, deprecated=True)
def apply_with_vae(
    positive: Conditioning,
    negative: Conditioning,
    control_net: ControlNet,
    vae: Vae,
    image: Image,
    strength: Strength = 1.0,
    start_percent: Moment = 0.0,
    end_percent: Moment = 1.0,
) -> Steered:
    """As Apply ControlNet."""
    return apply(positive, negative, control_net, image, strength, start_percent, end_percent, vae)


@node(id="SetUnionControlNetType", title="SetUnionControlNetType", category=CATEGORY)
def set_union_type(control_net: ControlNet, type: UnionType) -> ControlNet:
    """Tells a ControlNet for many sorts of pictures which sort it gets; "auto" tells it nothing. Others don't mind."""
    return control_net.with_type(type)


@node(id="ControlNetInpaintingAliMamaApply", title="ControlNetInpaintingAliMamaApply", category=CATEGORY)
def apply_inpainting(
    positive: Conditioning,
    negative: Conditioning,
    control_net: ControlNet,
    vae: Vae,
    image: Image,
    mask: Mask,
    strength: Strength = 1.0,
    start_percent: Moment = 0.0,
    end_percent: Moment = 1.0,
) -> Steered:
    """Steers by what is to stay of a picture. Networks made for inpainting are told what that is, and see black where `mask` is set."""
    if strength == 0:
        return Steered(positive, negative)
    control = applied(control_net, image, strength, start_percent, end_percent, vae)
    if control_net.takes_mask:
        flat = mask.reshape(-1, 1, *mask.shape[-2:]).float()
        keep = 1.0 - functional.interpolate(flat, size=tuple(image.shape[1:3]), mode="bilinear").round()[:, 0]
        control = replace(control, image=image[..., :3] * keep[..., None], keep=keep)
    return Steered(*controlled((positive, negative), [control]))


@node(id="ControlNetStack", title="Stack ControlNet", category=CATEGORY, aliases=("controlnet", "multi controlnet"))
def stack(
    control_net: ControlNet,
    image: Image,
    strength: Strength = 1.0,
    start_percent: Moment = 0.0,
    end_percent: Moment = 1.0,
    control_stack: ControlStack | None = None,
    mask: Mask | None = None,
    vae: Vae | None = None,
) -> ControlStack:
    """One more picture that steers, beside those of `control_stack`. With a `mask` it counts only as far as the mask is white."""
    before = tuple(control_stack or ())
    if strength == 0:
        return before
    return (*before, replace(applied(control_net, image, strength, start_percent, end_percent, vae), mask=mask))


@node(id="ControlNetStackApply", title="Apply ControlNet Stack", category=CATEGORY, aliases=("controlnet", "multi controlnet"))
def apply_stack(positive: Conditioning, negative: Conditioning, control_stack: ControlStack) -> Steered:
    """Steers both prompts by all pictures of a stack at once."""
    return Steered(*controlled((positive, negative), control_stack))


def applied(net: Any, image: Any, strength: float, start: float = 0.0, end: float = 1.0, vae: Any = None) -> AppliedControl:
    """A control on its own. Raises NodeFailed where the network needs a VAE and there is none."""
    from marquetry.engine.models.control.control_net import AppliedControl

    if net.needs_vae and vae is None:
        raise NodeFailed(f"{net.name} reads pictures as latents: connect a VAE to 'vae' of Apply ControlNet")
    return AppliedControl(net, image, strength, start, end, vae=vae)


def controlled(conditionings: Sequence[list[Any]], controls: Sequence[AppliedControl]) -> list[list[Any]]:
    """Copies of the prompts with these controls after those that they have; prompts that shared theirs go on sharing."""
    chains: dict[int, AppliedControl | None] = {}

    def chained(known: AppliedControl | None) -> AppliedControl | None:
        if id(known) not in chains:
            link = known
            for control in controls:
                link = replace(control, previous=link)
            chains[id(known)] = link
        return chains[id(known)]

    def with_chain(options: dict[str, Any]) -> dict[str, Any]:
        return {**options, "control": chained(options.get("control")), "control_apply_to_uncond": False}

    return [[[embedding, with_chain(options)] for embedding, options in entries] for entries in conditionings]
