"""The transformer of Qwen-Image (Wu et al. 2025), whose published names are diffusers' own: sizes from a header."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from marquetry.engine.models.layout.table import Piece, count
from marquetry.engine.models.safetensors_file import Header

STILL_REFERENCES = "__index_timestep_zero__"  # marks models that are told that reference pictures are clean


@dataclass(frozen=True)
class QwenImageSizes:
    """`channels` are those of a patch of 2 x 2 latent pixels."""

    channels: int
    out_channels: int
    width: int
    head_width: int
    layers: int
    context_width: int
    still_references: bool

    def config(self) -> dict[str, Any]:
        """The arguments of diffusers' QwenImageTransformer2DModel. Axes share a head 2 : 7 : 7, as in the published one of 128."""
        turned = self.head_width * 7 // 16
        return {
            "patch_size": 2,
            "in_channels": self.channels,
            "out_channels": self.out_channels // 4,
            "num_layers": self.layers,
            "attention_head_dim": self.head_width,
            "num_attention_heads": self.width // self.head_width,
            "joint_attention_dim": self.context_width,
            "axes_dims_rope": (self.head_width - 2 * turned, turned, turned),
            "zero_cond_t": self.still_references,
        }


def qwen_image_sizes(header: Header, prefix: str) -> QwenImageSizes | None:
    """The sizes of a transformer under `prefix`, or None. Layered models, which are told more than the time, are others."""
    first, words = header.shape(f"{prefix}img_in.weight"), header.shape(f"{prefix}txt_in.weight")
    norm, head = header.width(f"{prefix}txt_norm.weight"), header.width(f"{prefix}transformer_blocks.0.attn.norm_added_q.weight")
    layers = count(header, prefix + "transformer_blocks.{}.txt_mod.1.weight")
    out = header.width(f"{prefix}proj_out.weight")
    if len(first) != 2 or len(words) != 2 or not norm or not head or not layers or not out:
        return None
    if f"{prefix}time_text_embed.addition_t_embedding.weight" in header:
        return None
    return QwenImageSizes(first[1], out, first[0], head, layers, words[1], f"{prefix}{STILL_REFERENCES}" in header)


def qwen_image_table(header: Header, prefix: str) -> dict[str, Piece]:
    """Where the network's tensors stand in the file."""
    return {name.removeprefix(prefix): Piece(name) for name in header if name.startswith(prefix) and name != prefix + STILL_REFERENCES}
