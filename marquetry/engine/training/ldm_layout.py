"""Names of weights in the original latent-diffusion (CompVis) layout, from diffusers' and transformers' names and back."""

import re
from collections.abc import Mapping

from torch import Tensor

UNET_PREFIX = "model.diffusion_model."
AUTOENCODER_PREFIX = "first_stage_model."
TEXT_PREFIX = "cond_stage_model.transformer.text_model."

RESNET_PARTS = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET_FIXED = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
AUTOENCODER_FIXED = {
    "mid_block.resnets.0": "mid.block_1",
    "mid_block.resnets.1": "mid.block_2",
    "mid_block.attentions.0": "mid.attn_1",
    "conv_norm_out": "norm_out",
    "conv_shortcut": "nin_shortcut",
}
AUTOENCODER_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
MATRIX_AS_CONVOLUTION = re.compile(r"(encoder|decoder)\.mid\.attn_1\.(q|k|v|proj_out)\.weight$")


def unet_name(name: str, layers: int, attention_in_up_block: bool) -> str:
    """One UNet weight's LDM name. `layers` is the number of residual blocks on a level."""
    level = layers + 1
    for old, new in UNET_FIXED.items():
        if name.startswith(old + "."):
            return _resnet_parts(new + name.removeprefix(old))
    match = re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)", name)
    if match is None:
        raise KeyError(name)
    side, block, kind, index, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
    if kind == "downsamplers":
        return f"input_blocks.{(block + 1) * level}.0.op.{rest.removeprefix('conv.')}"
    if kind == "upsamplers":
        return f"output_blocks.{block * level + layers}.{2 if attention_in_up_block else 1}.{rest}"
    place = block * level + index + (1 if side == "down" else 0)
    blocks = "input_blocks" if side == "down" else "output_blocks"
    return _resnet_parts(f"{blocks}.{place}.{0 if kind == 'resnets' else 1}.{rest}")


def autoencoder_name(name: str, levels: int) -> str:
    """One autoencoder weight's LDM name; the decoder's levels count from the other end."""
    for old, new in AUTOENCODER_FIXED.items():
        name = name.replace(old, new)
    if ".attn_1." in name:
        for old, new in AUTOENCODER_ATTENTION.items():
            name = name.replace(f".{old}.", f".{new}.")
    name = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d+)\.resnets", lambda m: f"up.{levels - 1 - int(m[1])}.block", name)
    return re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample", name)


def _resnet_parts(name: str) -> str:
    if ".transformer_blocks." in name:
        return name
    for old, new in RESNET_PARTS.items():
        if f".{old}." in name:
            return name.replace(f".{old}.", f".{new}.")
    return name


def ldm_names(unet: Mapping[str, Tensor], autoencoder: Mapping[str, Tensor], text: Mapping[str, Tensor]) -> dict[str, str]:
    """LDM name to `unet.`, `autoencoder.` or `text.` plus the name in its network."""
    layers = 1 + max(int(m[1]) for m in (re.match(r"down_blocks\.0\.resnets\.(\d+)", n) for n in unet) if m)
    attended = {m[1] for m in (re.match(r"(up_blocks\.\d+)\.attentions", n) for n in unet) if m}
    levels = 1 + max(int(m[1]) for m in (re.match(r"encoder\.down_blocks\.(\d+)", n) for n in autoencoder) if m)
    names: dict[str, str] = {}
    for name in unet:
        in_attended_block = ".".join(name.split(".")[:2]) in attended
        names[UNET_PREFIX + unet_name(name, layers, in_attended_block)] = f"unet.{name}"
    for name in autoencoder:
        names[AUTOENCODER_PREFIX + autoencoder_name(name, levels)] = f"autoencoder.{name}"
    for name in text:
        names[TEXT_PREFIX + name] = f"text.{name}"
    return names


def to_ldm(unet: Mapping[str, Tensor], autoencoder: Mapping[str, Tensor], text: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All weights of a model under their LDM names."""
    networks = {"unet": unet, "autoencoder": autoencoder, "text": text}
    weights: dict[str, Tensor] = {}
    for ldm_name, source in ldm_names(unet, autoencoder, text).items():
        network, name = source.split(".", 1)
        weight = networks[network][name]
        weights[ldm_name] = weight[:, :, None, None] if MATRIX_AS_CONVOLUTION.search(ldm_name) else weight
    return weights


def from_ldm(weights: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, dict[str, Tensor]]:
    """Weights of a single file sorted into state dicts of `unet`, `autoencoder` and `text`, by the map of `ldm_names`."""
    networks: dict[str, dict[str, Tensor]] = {"unet": {}, "autoencoder": {}, "text": {}}
    for ldm_name, source in names.items():
        network, name = source.split(".", 1)
        weight = weights[ldm_name]
        networks[network][name] = weight[:, :, 0, 0] if MATRIX_AS_CONVOLUTION.search(ldm_name) else weight
    return networks
