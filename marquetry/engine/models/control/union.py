"""Unions: one ControlNet for many sorts of pictures (xinsir's ControlNet++, with and without promax), for SDXL and its kin."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from marquetry.engine.lazy import torch
from marquetry.engine.models.control.hints import pixels
from marquetry.engine.models.control.kind import ControlCall, FoundControl, Residuals
from marquetry.engine.models.control.run import DOWN, MID
from marquetry.engine.models.control.stable_diffusion import PREFIXES, config_of, families_of, told_beside
from marquetry.engine.models.layout import control_net
from marquetry.engine.models.network import NetworkRecipe
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.weights import Weights
from marquetry.engine.sampling.model import CONTEXT

if TYPE_CHECKING:
    from torch import Tensor

    from marquetry.engine.models.control.control_net import AppliedControl
    from marquetry.engine.models.model import Model

TASK_HEAD = 40  # channels of a head where what is read is mixed: 8 heads of the published 320
TYPE_WIDTH = 256


class UnionControlNet:
    """See the module."""

    id = "union"
    needs_vae = False
    types: Mapping[str, int] = {
        "openpose": 0, "depth": 1, "hed/pidi/scribble/ted": 2, "canny/lineart/anime_lineart/mlsd": 3, "normal": 4, "segment": 5, "tile": 6,
        "repaint": 7,
    }  # fmt: skip

    def recognise(self, header: Header) -> FoundControl | None:
        for prefix in PREFIXES:
            tasks = header.shape(f"{prefix}task_embedding")
            sizes = control_net.diffusers_sizes(header, prefix) if len(tasks) == 2 else None
            if sizes is None:
                continue
            layers = [name for name in header if name.startswith(f"{prefix}transformer_layes.") and name.endswith("in_proj_weight")]
            config = config_of(sizes) | {
                "num_control_type": tasks[0],
                "num_trans_channel": tasks[1],
                "num_trans_head": max(1, tasks[1] // TASK_HEAD),
                "num_trans_layer": len(layers),
                "num_proj_channel": header.width(f"{prefix}spatial_ch_projs.weight"),
                "addition_time_embed_dim": header.shape(f"{prefix}control_add_embedding.linear_1.weight")[1] // tasks[0],
            }
            config.pop("mid_block_type", None)
            recipe = NetworkRecipe("diffusers:ControlNetUnionModel", config, control_net.diffusers_table(header, prefix))
            facts = {"context_width": sizes.unet.context_width, "types": tasks[0]}
            return FoundControl(self.id, families_of(sizes), "diffusers", recipe, facts)
        return None

    def told(self, weights: Weights) -> Mapping[str, Any]:
        return {}

    def hint(self, applied: AppliedControl, network: Any, model: Model, size: tuple[int, int]) -> list[Tensor]:
        return [pixels(applied, size, model.latent_format.spatial_ratio)]

    def residuals(self, call: ControlCall) -> Residuals:
        number = call.net.type_number
        types = torch.zeros(call.x.shape[0], int(call.net.found.facts["types"])).to(call.x)
        if number is not None:
            types[:, number] = 1.0
        down, middle = (call.network if number is not None else untold(call.network))(
            call.x,
            call.time,
            encoder_hidden_states=call.values[CONTEXT],
            controlnet_cond=[call.hint[0]],
            control_type=types,
            control_type_idx=[number or 0],
            added_cond_kwargs=told_beside(call.values),
            return_dict=False,
        )
        return {DOWN: list(down), MID: [middle]}


def untold(network: Any) -> Any:
    """The network as a plain ControlNet: what it reads is added as it is, with no word on what sort of picture it was. Shares all weights."""
    plain = copy.copy(network)
    plain._modules = dict(network._modules)
    plain._modules["spatial_ch_projs"] = _nothing()
    return plain


def _nothing() -> Any:
    class Nothing(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros_like(x)

    return Nothing()


KIND = UnionControlNet()
