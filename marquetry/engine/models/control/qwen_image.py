"""ControlNets of Qwen-Image (InstantX's union of sorts, and the one for inpainting, which is told what to keep); published in diffusers' names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from marquetry.engine.models.control.hints import latents, repeated_over, with_kept
from marquetry.engine.models.control.kind import ControlCall, FoundControl, Residuals
from marquetry.engine.models.layout.table import count, same_names
from marquetry.engine.models.network import NetworkRecipe
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.transformer_family import TOKENS, packed, padded_to
from marquetry.engine.models.weights import Weights

if TYPE_CHECKING:
    from torch import Tensor

    from marquetry.engine.models.control.control_net import AppliedControl
    from marquetry.engine.models.model import Model

SAMPLES = "controlnet_block_samples"
PREFIXES = ("", "controlnet.")
PATCH = 2


class QwenImageControlNet:
    """See the module."""

    id = "qwen_image"
    needs_vae = True
    types: Mapping[str, int] = {}

    def recognise(self, header: Header) -> FoundControl | None:
        for prefix in PREFIXES:
            first, words = header.shape(f"{prefix}img_in.weight"), header.shape(f"{prefix}txt_in.weight")
            reader = header.shape(f"{prefix}controlnet_x_embedder.weight")
            head = header.width(f"{prefix}transformer_blocks.0.attn.norm_q.weight")
            if len(first) != 2 or len(words) != 2 or len(reader) != 2 or not head:
                continue
            turned = head * 7 // 16
            config = {
                "patch_size": PATCH,
                "in_channels": first[1],
                "out_channels": first[1] // PATCH**2,
                "num_layers": count(header, prefix + "transformer_blocks.{}.txt_mod.1.weight"),
                "attention_head_dim": head,
                "num_attention_heads": first[0] // head,
                "joint_attention_dim": words[1],
                "axes_dims_rope": (head - 2 * turned, turned, turned),
                "extra_condition_channels": reader[1] - first[1],
            }
            recipe = NetworkRecipe("diffusers:QwenImageControlNetModel", config, same_names(header, prefix))
            return FoundControl(self.id, ("qwen_image",), "diffusers", recipe)
        return None

    def told(self, weights: Weights) -> Mapping[str, Any]:
        return {}

    def hint(self, applied: AppliedControl, network: Any, model: Model, size: tuple[int, int]) -> list[Tensor]:
        picture = latents(applied, size, model.latent_format)
        return [packed(with_kept(picture, applied, size) if applied.net.takes_mask else picture)]

    def residuals(self, call: ControlCall) -> Residuals:
        x = padded_to(call.x, PATCH)
        samples = call.network(
            hidden_states=packed(x),
            controlnet_cond=call.hint[0],
            encoder_hidden_states=call.values[TOKENS],
            timestep=call.time,
            img_shapes=[[(1, x.shape[-2] // PATCH, x.shape[-1] // PATCH)]] * len(x),
            return_dict=False,
        )
        return {SAMPLES: repeated_over(samples, len(call.denoiser.transformer_blocks))} if samples else {}


KIND = QwenImageControlNet()
