"""ControlNets of Flux.1: InstantX's and their kin, unions and those for inpainting among them, which read latents; and XLabs', which read pixels."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from marquetry.engine.lazy import torch
from marquetry.engine.models.control.hints import latents, pixels, repeated_over, with_kept
from marquetry.engine.models.control.kind import ControlCall, FoundControl, Residuals
from marquetry.engine.models.families.flux import DEFAULT_GUIDANCE, GUIDANCE
from marquetry.engine.models.layout import flux
from marquetry.engine.models.layout.flux import FluxSizes
from marquetry.engine.models.layout.table import Piece, count, same_names, table_of_modules
from marquetry.engine.models.network import NetworkRecipe
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.transformer_family import POOLED, TOKENS, grid, packed, padded_to
from marquetry.engine.models.weights import Weights

if TYPE_CHECKING:
    from torch import Tensor

    from marquetry.engine.models.control.control_net import AppliedControl
    from marquetry.engine.models.model import Model

DOUBLE, SINGLE = "controlnet_block_samples", "controlnet_single_block_samples"
PREFIXES = ("", "controlnet.")
PATCH = 2
HEAD = (
    "transformer_blocks.0.attn.norm_q.weight",
    "double_blocks.0.img_attn.norm.query_norm.scale",
    "single_transformer_blocks.0.attn.norm_q.weight",
)
INPAINTING = "marquetry.engine.models.control.networks.flux_inpainting:FluxInpaintingControlNet"
XLABS_READER = "input_hint_block."
XLABS_CHANNELS, XLABS_CONVOLUTIONS = 16, 8  # with activations between them


class FluxControlNet:
    """See the module."""

    id = "flux"
    needs_vae = True
    types: Mapping[str, int] = {"canny/lineart/anime_lineart/mlsd": 0, "tile": 1, "depth": 2, "openpose": 4}

    def recognise(self, header: Header) -> FoundControl | None:
        for prefix in PREFIXES:
            sizes = control_sizes(header, prefix)
            if sizes is None:
                continue
            modes = header.width(f"{prefix}controlnet_mode_embedder.weight")
            pixelwise = f"{prefix}{XLABS_READER}0.weight" in header or f"{prefix}{XLABS_READER}conv_in.weight" in header
            config = {key: value for key, value in sizes.config().items() if key != "out_channels"}
            config |= {"num_mode": modes or None, "conditioning_embedding_channels": XLABS_CHANNELS if pixelwise else None}
            config["patch_size"] = PATCH if pixelwise else 1
            original = f"{prefix}double_blocks.0.img_mod.lin.weight" in header
            table = xlabs_table(sizes, header, prefix) if original else same_names(header, prefix)
            architecture, extra = "diffusers:FluxControlNetModel", _reads(header, prefix, original) - sizes.channels
            if extra:
                architecture, config = INPAINTING, config | {"extra_condition_channels": extra}
            recipe = NetworkRecipe(architecture, config, table)
            facts = {"types": modes, "pixels": pixelwise}
            return FoundControl(self.id, ("flux",), "original" if original else "diffusers", recipe, facts)
        return None

    def told(self, weights: Weights) -> Mapping[str, Any]:
        return {}

    def hint(self, applied: AppliedControl, network: Any, model: Model, size: tuple[int, int]) -> list[Tensor]:
        if applied.net.found.facts["pixels"]:
            even = (size[0] + size[0] % PATCH, size[1] + size[1] % PATCH)
            return [pixels(applied, even, model.latent_format.spatial_ratio) * 2.0 - 1.0]
        picture = latents(applied, size, model.latent_format)
        return [packed(with_kept(picture, applied, size) if applied.net.takes_mask else picture)]

    def residuals(self, call: ControlCall) -> Residuals:
        x, values, config = padded_to(call.x, PATCH), call.values, call.net.found.recipe.config
        network, mode = call.network, call.net.type_number
        if call.net.found.facts["types"] and mode is None:
            network = copy.copy(network)  # the same weights, told nothing of the picture
            network.union = False
        guidance = values.get(GUIDANCE, torch.full((len(x),), DEFAULT_GUIDANCE).to(x)) if config["guidance_embeds"] else None
        double, single = network(
            hidden_states=packed(x),
            controlnet_cond=call.hint[0],
            controlnet_mode=None if mode is None else torch.full((len(x), 1), mode, device=x.device),
            encoder_hidden_states=values[TOKENS],
            pooled_projections=values[POOLED],
            timestep=call.time,
            img_ids=grid(x.shape[-2] // PATCH, x.shape[-1] // PATCH).to(x),
            txt_ids=torch.zeros(values[TOKENS].shape[1], 3).to(x),
            guidance=guidance,
            return_dict=False,
        )
        blocks, lone = len(call.denoiser.transformer_blocks), len(call.denoiser.single_transformer_blocks)
        made: Residuals = {}
        if double and call.net.found.facts["pixels"]:  # over and over, in order
            made[DOUBLE] = [double[block % len(double)] for block in range(blocks)]
        elif double:
            made[DOUBLE] = repeated_over(double, blocks)
        if single and lone:
            made[SINGLE] = repeated_over(single, lone)
        return made


def control_sizes(header: Header, prefix: str) -> FluxSizes | None:
    """The sizes of a ControlNet, or None; single blocks may be missing, and so may double ones."""
    original = f"{prefix}double_blocks.0.img_mod.lin.weight" in header
    names = ("img_in", "txt_in", "vector_in.in_layer", "guidance_in.in_layer", "double_blocks.{}.img_mod.lin.weight", "pos_embed_input")
    if not original:
        names = (
            "x_embedder", "context_embedder", "time_text_embed.text_embedder.linear_1", "time_text_embed.guidance_embedder.linear_1",
            "transformer_blocks.{}.norm1_context.linear.weight", "controlnet_x_embedder",
        )  # fmt: skip
    patches, words, pooled = (header.shape(f"{prefix}{name}.weight") for name in names[:3])
    heads = next((header.width(prefix + name) for name in HEAD if prefix + name in header), 0)
    if len(patches) != 2 or len(words) != 2 or len(pooled) != 2 or not heads or f"{prefix}{names[5]}.weight" not in header:
        return None
    doubles, singles = count(header, prefix + names[4]), count(header, prefix + "single_transformer_blocks.{}.proj_mlp.weight")
    guided = f"{prefix}{names[3]}.weight" in header
    return FluxSizes(patches[1], patches[1], patches[0], heads, doubles, singles, words[1], pooled[1], guided)


def _reads(header: Header, prefix: str, original: bool) -> int:
    """The channels of a token of the hint."""
    return header.shape(f"{prefix}{'pos_embed_input' if original else 'controlnet_x_embedder'}.weight")[1]


def xlabs_table(sizes: FluxSizes, header: Header, prefix: str) -> dict[str, Piece]:
    """Where the network's tensors stand in a file of XLabs: Flux's original names, and its reader."""
    table = {
        name: piece for name, piece in flux.original_table(sizes, header, prefix).items() if not name.startswith(("proj_out", "norm_out"))
    }
    targets = ["conv_in", *(f"blocks.{number}" for number in range(XLABS_CONVOLUTIONS - 2)), "conv_out"]
    modules = [(f"{XLABS_READER}{target}", f"{XLABS_READER}{2 * number}") for number, target in enumerate(targets)]
    modules += [("controlnet_x_embedder", "pos_embed_input")]
    modules += [(f"controlnet_blocks.{layer}", f"controlnet_blocks.{layer}") for layer in range(sizes.double_layers)]
    return table | table_of_modules(modules, header, prefix)


KIND = FluxControlNet()
