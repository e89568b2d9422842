"""ControlNets of SD 1, SD 2 and SDXL (Zhang et al. 2023), in the layout of the first ones (`control_model.*`, or bare) and in diffusers'."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from marquetry.engine.models.control.hints import pixels
from marquetry.engine.models.control.kind import ControlCall, FoundControl, Residuals
from marquetry.engine.models.control.run import DOWN, MID
from marquetry.engine.models.families.sdxl import HEAD_CHANNELS, POOLED, SIZES, TIME_WIDTH
from marquetry.engine.models.layout import control_net
from marquetry.engine.models.layout.control_net import ControlNetSizes
from marquetry.engine.models.network import NetworkRecipe
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.weights import Weights
from marquetry.engine.sampling.model import CONTEXT

if TYPE_CHECKING:
    from torch import Tensor

    from marquetry.engine.models.control.control_net import AppliedControl
    from marquetry.engine.models.model import Model

PREFIXES = ("control_model.", "controlnet.", "")
SD1_HEADS = 8
POOLING_NAME = "shuffle"  # those that follow a picture's colours only add the mean of each residual
DIFFERENCE = "difference"


class StableDiffusionControlNet:
    """See the module."""

    id = "stable_diffusion"
    needs_vae = False
    types: Mapping[str, int] = {}

    def recognise(self, header: Header) -> FoundControl | None:
        for prefix in PREFIXES:
            layout, sizes = "original", control_net.original_sizes(header, prefix)
            if sizes is not None:
                table = control_net.original_table(sizes, header, prefix)
            else:
                layout, sizes = "diffusers", control_net.diffusers_sizes(header, prefix)
                table = control_net.diffusers_table(header, prefix)
            if sizes is not None and f"{prefix}task_embedding" not in header:
                config = config_of(sizes) | ({"global_pool_conditions": True} if POOLING_NAME in header.source else {})
                facts = {"context_width": sizes.unet.context_width, "difference": DIFFERENCE in header}
                table = {name: piece for name, piece in table.items() if piece.source != DIFFERENCE}
                return FoundControl(self.id, families_of(sizes), layout, NetworkRecipe("diffusers:ControlNetModel", config, table), facts)
        return None

    def told(self, weights: Weights) -> Mapping[str, Any]:
        return {}

    def hint(self, applied: AppliedControl, network: Any, model: Model, size: tuple[int, int]) -> list[Tensor]:
        return [pixels(applied, size, model.latent_format.spatial_ratio, int(applied.net.found.recipe.config["conditioning_channels"]))]

    def residuals(self, call: ControlCall) -> Residuals:
        down, middle = call.network(
            call.x,
            call.time,
            encoder_hidden_states=call.values[CONTEXT],
            controlnet_cond=call.hint[0],
            added_cond_kwargs=told_beside(call.values),
            return_dict=False,
        )
        return {DOWN: list(down), MID: [middle]}


def config_of(sizes: ControlNetSizes) -> dict[str, Any]:
    """The arguments of diffusers' ControlNetModel."""
    half = sizes.unet
    heads: int | tuple[int, ...] = SD1_HEADS
    if half.linear_projection or half.vector_width:
        heads = tuple(max(1, channels // HEAD_CHANNELS) for channels in half.channels)
    config = sizes.config(heads)
    if half.vector_width:
        config |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": TIME_WIDTH,
            "projection_class_embeddings_input_dim": half.vector_width,
        }
    return config


def families_of(sizes: ControlNetSizes) -> tuple[str, ...]:
    """Which denoisers have these shapes."""
    if sizes.unet.vector_width:
        return ("sdxl",)
    return ("sd2",) if sizes.unet.linear_projection else ("sd1",)


def told_beside(values: Mapping[str, Any]) -> dict[str, Any] | None:
    """What XL tells its network beside the prompt."""
    return {"text_embeds": values[POOLED], "time_ids": values[SIZES].float()} if SIZES in values else None


KIND = StableDiffusionControlNet()
