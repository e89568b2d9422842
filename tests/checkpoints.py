"""Tiny real models with random weights, of every family, and files of them in every published layout.

The networks are diffusers' and transformers' own classes at small sizes. Text encoders have the whole vocabulary of CLIP, so that any
prompt runs.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from marquetry.engine.models.families.registry import family
from marquetry.engine.models.network import original_state
from marquetry.engine.models.safetensors_file import Header, TensorInfo

FamilyName: TypeAlias = Literal["sd1", "sd2"]
Layout: TypeAlias = Literal["original", "diffusers"]

UNET: Mapping[str, Any] = {
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "sample_size": 8,
}
AUTOENCODER: Mapping[str, Any] = {
    "block_out_channels": (32, 32, 32, 64),
    "layers_per_block": 1,
    "latent_channels": 4,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "sample_size": 64,
}
TEXT: Mapping[str, Any] = {
    "vocab_size": 49408,
    "max_position_embeddings": 77,
    "num_hidden_layers": 3,
    "bos_token_id": 49406,
    "eos_token_id": 49407,
}


@dataclass(frozen=True)
class Networks:
    """The three networks of one model; `text_projection` is OpenCLIP's, which transformers keeps elsewhere."""

    family: FamilyName
    unet: nn.Module
    vae: nn.Module
    text_encoder: nn.Module
    text_projection: Tensor | None = None

    def states(self) -> dict[str, dict[str, Tensor]]:
        """Tensors by part, as diffusers and transformers name them."""
        return {"unet": self.unet.state_dict(), "vae": self.vae.state_dict(), "text_encoder": self.text_encoder.state_dict()}


@functools.cache
def networks(name: FamilyName = "sd1", *, in_channels: int = 4, seed: int = 0) -> Networks:
    """Tiny networks of a family. The same arguments give the same weights, and the same objects: don't write to them."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    unet: Any = UNet2DConditionModel
    autoencoder: Any = AutoencoderKL
    width = 64 if name == "sd1" else 128
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        heads = 8 if name == "sd1" else (1, 1)
        text = CLIPTextConfig(
            **TEXT,
            hidden_size=width,
            intermediate_size=width * 2,
            num_attention_heads=width // 64,
            hidden_act="quick_gelu" if name == "sd1" else "gelu",
            pad_token_id=49407 if name == "sd1" else 0,
            projection_dim=width,
        )
        made = Networks(
            name,
            unet(**UNET, in_channels=in_channels, cross_attention_dim=width, attention_head_dim=heads, use_linear_projection=name == "sd2"),
            autoencoder(**AUTOENCODER),
            CLIPTextModel(text),
            None if name == "sd1" else torch.randn(width, width) * 0.1,
        )
        for network in (made.unet, made.vae, made.text_encoder):
            _stir(network)
    return made


def original_checkpoint(made: Networks) -> dict[str, Tensor]:
    """The tensors of a checkpoint in the original layout: text in transformers' names for SD1, in OpenCLIP's for SD2."""
    state: dict[str, Tensor] = {}
    for part, tensors in made.states().items():
        table_part = "denoiser" if part == "unet" else part
        if part == "text_encoder" and made.text_projection is not None:
            tensors = {**tensors, "text_projection.weight": made.text_projection.t()}
        header = header_of({f"{part}.{name}": tensor for name, tensor in tensors.items()})
        hints = {"text_encoder": {"hidden_act": "gelu"}} if made.family == "sd2" else {}
        known = family(made.family)
        found = known.recognise(header, hints)
        assert found is not None
        state |= original_state(known.original_table(found, table_part, tensors), tensors)
    return state


def header_of(tensors: Mapping[str, Tensor]) -> Header:
    """The header that a file of these tensors would have."""
    return Header("test", {name: TensorInfo("F32", tuple(tensor.shape)) for name, tensor in tensors.items()})


def write_checkpoint(
    path: Path, made: Networks | None = None, *, metadata: Mapping[str, str] | None = None, extra: Mapping[str, Tensor] | None = None
) -> Path:
    """A single-file checkpoint in the original layout, without EMA, `extra` tensors added."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = original_checkpoint(made or networks())
    save_file(
        {name: tensor.contiguous().clone() for name, tensor in (state | dict(extra or {})).items()}, path, metadata=dict(metadata or {})
    )
    return path


def write_parts(folder: Path, made: Networks | None = None, *, layout: Layout = "original", prefixed: bool = True) -> dict[str, Path]:
    """Separate files `unet`, `text_encoder` and `vae` below `folder`, in either layout, with or without the checkpoint's prefixes."""
    made = made or networks()
    folder.mkdir(parents=True, exist_ok=True)
    prefixes = {"unet": "model.diffusion_model.", "vae": "first_stage_model.", "text_encoder": "cond_stage_model."}
    whole = original_checkpoint(made)
    paths: dict[str, Path] = {}
    for part, tensors in made.states().items():
        if layout == "original":
            start = prefixes[part]
            cut = "" if prefixed else start if part != "text_encoder" else start + ("transformer." if made.family == "sd1" else "model.")
            tensors = {name.removeprefix(cut): tensor for name, tensor in whole.items() if name.startswith(start)}
        paths[part] = folder / f"{made.family}-{part}-{layout}-{'prefixed' if prefixed else 'bare'}.safetensors"
        save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, paths[part])
    return paths


def write_folder(folder: Path, made: Networks | None = None, *, prediction: str = "epsilon") -> Path:
    """A diffusers folder with `model_index.json`, as `save_pretrained` writes it."""
    import json

    made = made or networks()
    for part, network in (("unet", made.unet), ("vae", made.vae), ("text_encoder", made.text_encoder)):
        writer: Any = network
        writer.save_pretrained(folder / part)
    (folder / "scheduler").mkdir(parents=True, exist_ok=True)
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps({"prediction_type": prediction}))
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    return folder


def _stir(network: nn.Module) -> None:
    """Random values also where networks start with zeros and ones, so that a tensor in the wrong place shows."""
    network.eval().requires_grad_(False)
    for name, parameter in network.named_parameters():
        if parameter.ndim == 1:
            parameter.add_(torch.randn_like(parameter) * 0.05)
        elif "conv_out" in name or "token_embedding" in name:
            parameter.mul_(2.0)
