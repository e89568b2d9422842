"""Tensor names in adapter files: which module of which network a tensor is for, and what it is there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from marquetry.engine.models.adapters.adapter import Part

# What a name ends in -> what the tensor is. PEFT puts the adapter's own name before `weight`.
ENDS: Mapping[str, str] = {
    r"[._]lora[._]down\.weight": "down",
    r"[._]lora[._]up\.weight": "up",
    r"\.lora_mid\.weight": "middle",
    r"\.lora_linear_layer\.down\.weight": "down",
    r"\.lora_linear_layer\.up\.weight": "up",
    r"\.lora_A(\.\w+)?(\.weight)?": "down",
    r"\.lora_B(\.\w+)?\.bias": "up_bias",
    r"\.lora_B(\.\w+)?(\.weight)?": "up",
    r"\.lora_embedding_A(\.\w+)?": "embedding_down",
    r"\.lora_embedding_B(\.\w+)?": "embedding_up",
    r"\.lora_magnitude_vector(\.\w+)*": "magnitude",
    r"\.dora_scale": "dora_scale",
    r"\.alpha": "alpha",
    r"\.hada_(?P<hada>w1_a|w1_b|w2_a|w2_b|t1|t2)": "hada",
    r"\.lokr_(?P<lokr>w1_a|w1_b|w1|w2_a|w2_b|w2|t2)": "lokr",
    r"\.(?P<glora>a1|a2|b1|b2)\.weight": "glora",
    r"\.diff": "difference",
    r"\.diff_b": "bias_difference",
    r"\.w_norm": "difference",
    r"\.b_norm": "bias_difference",
    r"\.on_input": "on_input",
    r"\.weight": "weight",
}
PATTERN = re.compile(r"^(?P<module>.+?)(?:" + "|".join(f"(?P<end{index}>{end})" for index, end in enumerate(ENDS)) + r")$")
MEANINGS = tuple(ENDS.values())

NEUTRAL = ("base_model.model.", "lycoris_", "module.")
UNET_PREFIXES = (
    "lora_unet_", "unet.", "unet_", "model.diffusion_model.", "diffusion_model.", "lora_transformer_", "lora_prior_unet_",
)  # fmt: skip
TEXT_PREFIXES: Mapping[str, Part] = {
    "lora_te1_": "text_encoder", "lora_te2_": "text_encoder_2", "lora_te3_": "text_encoder_3", "lora_te_": "text_encoder",
    "te1_": "text_encoder", "te2_": "text_encoder_2", "te_": "text_encoder",
    "text_encoder_3.": "text_encoder_3", "text_encoder_2.": "text_encoder_2", "text_encoder.": "text_encoder",
    "text_encoders.clip_l.transformer.": "text_encoder", "text_encoders.clip_h.transformer.": "text_encoder",
    "text_encoders.clip_g.transformer.": "text_encoder_2", "text_encoders.t5xxl.transformer.": "text_encoder_3",
    "clip_l.transformer.": "text_encoder", "clip_g.transformer.": "text_encoder_2",
    "clip_l.": "text_encoder", "clip_h.": "text_encoder", "clip_g.": "text_encoder_2", "t5xxl.": "text_encoder_3",
    "cond_stage_model.transformer.": "text_encoder", "cond_stage_model.model.": "text_encoder",
    "conditioner.embedders.0.transformer.": "text_encoder", "conditioner.embedders.1.model.": "text_encoder_2",
}  # fmt: skip
TEXT_MODULES = ("text_model.", "text_model_", "resblocks.", "resblocks_", "transformer.resblocks.", "transformer_resblocks_")
DENOISER_WRAPPER = "transformer."  # diffusers' name for a denoiser that is no UNet


@dataclass
class Group:
    """The tensors of one published module by their meaning."""

    name: str
    tensors: dict[str, Tensor] = field(default_factory=dict)
    full_names: list[str] = field(default_factory=list)


def grouped(state: Mapping[str, Tensor]) -> tuple[dict[str, Group], list[str]]:
    """Tensors by module name as published, and the names of tensors that no format knows."""
    groups: dict[str, Group] = {}
    unknown: list[str] = []
    for name, tensor in state.items():
        match = PATTERN.match(name)
        if match is None:
            unknown.append(name)
            continue
        index = next(index for index in range(len(MEANINGS)) if match[f"end{index}"] is not None)
        meaning = MEANINGS[index]
        if meaning in ("hada", "lokr", "glora"):
            meaning = f"{meaning}_{match[meaning]}"
        group = groups.setdefault(match["module"], Group(match["module"]))
        group.tensors[meaning] = tensor
        group.full_names.append(name)
    return groups, unknown


def placed(module: str) -> tuple[Part | None, str]:
    """Which network a published module name is for, where it says so, and the module's name there with dots as underscores."""
    bare, part = _without(module, NEUTRAL), None
    for prefix in sorted(TEXT_PREFIXES, key=len, reverse=True):
        if bare.startswith(prefix):
            part, bare = TEXT_PREFIXES[prefix], bare.removeprefix(prefix)
            return part, _underscored(bare)
    for prefix in UNET_PREFIXES:
        if bare.startswith(prefix):
            return "unet", _underscored(bare.removeprefix(prefix))
    if bare.startswith(TEXT_MODULES):
        return "text_encoder", _underscored(bare)
    if bare.startswith(DENOISER_WRAPPER):
        return "unet", _underscored(bare.removeprefix(DENOISER_WRAPPER))
    return None, _underscored(bare)


def _underscored(name: str) -> str:
    return _without(name, NEUTRAL).replace(".processor.", ".").replace(".", "_")


def _without(name: str, prefixes: Iterable[str]) -> str:
    for prefix in prefixes:
        name = name.removeprefix(prefix)
    return name
