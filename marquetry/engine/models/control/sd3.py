"""ControlNets of Stable Diffusion 3 and 3.5: those of InstantX and its kin, in diffusers' layout, and Stability's of 3.5 large (blur, canny, depth)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from marquetry.engine.lazy import torch
from marquetry.engine.models.control.hints import latents, with_kept
from marquetry.engine.models.control.kind import ControlCall, FoundControl, Residuals
from marquetry.engine.models.layout.mmdit import HEAD_WIDTH
from marquetry.engine.models.layout.table import Table, count, same_names, table_of_modules, thirds
from marquetry.engine.models.network import NetworkRecipe
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.transformer_family import POOLED, TOKENS, padded_to
from marquetry.engine.models.weights import Weights

if TYPE_CHECKING:
    from torch import Tensor

    from marquetry.engine.models.control.control_net import AppliedControl
    from marquetry.engine.models.model import Model

SAMPLES = "block_controlnet_hidden_states"
PREFIXES = ("", "controlnet.")
CHANNELS, PATCH = 16, 2
TYPE = "control_type"
CANNY, DEPTH = 1, 2
SINGLE = (
    ("attn.to_out.0", "attn.proj"), ("ff.net.0.proj", "mlp.fc1"), ("ff.net.2", "mlp.fc2"), ("norm1.linear", "adaLN_modulation.1"),
)  # fmt: skip
QUERIES = ("attn.to_q", "attn.to_k", "attn.to_v")


class StableDiffusion3ControlNet:
    """See the module. Stability's read no prompt, and patches that the denoiser has cut."""

    id = "sd3"
    needs_vae = True
    types: Mapping[str, int] = {}

    def recognise(self, header: Header) -> FoundControl | None:
        for prefix in PREFIXES:
            reader = header.shape(f"{prefix}pos_embed_input.proj.weight")
            layers = count(header, prefix + "controlnet_blocks.{}.weight")
            pooled = header.shape(f"{prefix}time_text_embed.text_embedder.linear_1.weight")
            if len(reader) != 4 or not layers or len(pooled) != 2:
                continue
            config, table = self._config(header, prefix, reader, layers, pooled[1]), published_table(header, prefix, layers)
            layout = "original" if f"{prefix}transformer_blocks.0.attn.qkv.weight" in header else "diffusers"
            facts = {"prompted": config["joint_attention_dim"] is not None, "sort": sort_by_name(header.source)}
            return FoundControl(self.id, ("sd3",), layout, NetworkRecipe("diffusers:SD3ControlNetModel", config, table), facts)
        return None

    def _config(self, header: Header, prefix: str, reader: tuple[int, ...], layers: int, pooled: int) -> dict[str, Any]:
        words = header.shape(f"{prefix}context_embedder.weight")
        own = header.shape(f"{prefix}pos_embed.proj.weight")
        positions = math.isqrt(header.shape(f"{prefix}pos_embed.pos_embed")[1]) if own else None
        blocks = prefix + "transformer_blocks."
        dual = tuple(layer for layer in range(layers) if f"{blocks}{layer}.attn2.to_q.weight" in header)
        channels = own[1] if own else CHANNELS
        return {
            "sample_size": (positions or 64) * PATCH,
            "patch_size": reader[-1],
            "in_channels": channels,
            "num_layers": layers,
            "attention_head_dim": HEAD_WIDTH,
            "num_attention_heads": reader[0] // HEAD_WIDTH,
            "joint_attention_dim": words[1] if words else None,
            "caption_projection_dim": reader[0],
            "pooled_projection_dim": pooled,
            "out_channels": channels,
            "pos_embed_max_size": positions,
            "extra_conditioning_channels": reader[1] - channels,
            "dual_attention_layers": dual,
            "qk_norm": "rms_norm" if f"{blocks}0.attn.norm_q.weight" in header else None,
            "pos_embed_type": "sincos" if own else None,
            "use_pos_embed": bool(own),
            "force_zeros_for_pooled_projection": bool(words),
        }

    def told(self, weights: Weights) -> Mapping[str, Any]:
        return {"sort": int(weights.tensor(TYPE).reshape(-1)[0])} if TYPE in weights.header else {}

    def hint(self, applied: AppliedControl, network: Any, model: Model, size: tuple[int, int]) -> list[Tensor]:
        facts = applied.net.found.facts
        if not facts["prompted"]:
            return [latents(applied, size, model.latent_format, SORTS.get(facts["sort"]))]
        picture = latents(applied, size, replace(model.latent_format, shift_factor=0.0))  # these were trained without the shift
        return [with_kept(picture, applied, size) if applied.net.takes_mask else picture]

    def residuals(self, call: ControlCall) -> Residuals:
        x, pooled = padded_to(call.x, PATCH), call.values[POOLED]
        prompted = call.net.found.facts["prompted"]
        (samples,) = call.network(
            hidden_states=x if prompted else call.denoiser.pos_embed(x),
            controlnet_cond=call.hint[0],
            encoder_hidden_states=call.values[TOKENS] if prompted else None,
            pooled_projections=torch.zeros_like(pooled) if prompted else pooled,
            timestep=call.time,
            return_dict=False,
        )
        blocks = len(call.denoiser.transformer_blocks)
        return {SAMPLES: [samples[int(block * len(samples) / blocks)] for block in range(blocks)]}


def published_table(header: Header, prefix: str, layers: int) -> Table:
    """Where the network's tensors stand; Stability keeps queries, keys and values together, and calls some modules otherwise."""
    table = {name: piece for name, piece in same_names(header, prefix).items() if name != TYPE}
    if f"{prefix}transformer_blocks.0.attn.qkv.weight" not in header:
        return table
    table = {name: piece for name, piece in table.items() if not name.startswith("transformer_blocks.")}
    for layer in range(layers):
        block = f"transformer_blocks.{layer}."
        part = table_of_modules(SINGLE, header, prefix + block) | thirds(QUERIES, "attn.qkv", header, prefix + block)
        table |= {block + name: piece for name, piece in part.items()}
    return table


def sort_by_name(name: str) -> int:
    """The sort of one of Stability's whose file does not say it."""
    return CANNY if "canny" in name else DEPTH if "depth" in name else 0


def _steep(picture: Tensor) -> Tensor:
    """Edges as they were trained with: 127.5 times the value and one half, in place of -1..1."""
    return (picture * 127.5 + 0.5 + 1.0) / 2.0


def _turned(picture: Tensor) -> Tensor:
    """Depth the other way round: what is near is dark."""
    return 1.0 - picture


SORTS = {CANNY: _steep, DEPTH: _turned}
KIND = StableDiffusion3ControlNet()
