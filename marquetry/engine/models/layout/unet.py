"""The UNet of Stable Diffusion 1 and 2: its sizes from a header, and its modules in the original layout beside those of diffusers.

The original layout numbers `input_blocks`, `middle_block` and `output_blocks` through; diffusers groups them by level.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from marquetry.engine.models.layout.table import count
from marquetry.engine.models.safetensors_file import Header

FOREIGN_MARKS = ("label_emb.", "add_embedding.", "class_embedding.", "time_stack.", "temporal_", "motion_modules.")
RESNET = (
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("conv_shortcut", "skip_connection"),
)
BLOCK = "transformer_blocks.0."
ATTENTION = (
    "norm", "proj_in", "proj_out",
    *(f"{BLOCK}{name}" for name in ("norm1", "norm2", "norm3", "ff.net.0.proj", "ff.net.2")),
    *(f"{BLOCK}{attention}.{name}" for attention in ("attn1", "attn2") for name in ("to_q", "to_k", "to_v", "to_out.0")),
)  # fmt: skip


@dataclass(frozen=True)
class UNetSizes:
    """The sizes that make one UNet of this kind differ from another; `channels` and `attention` go from the finest level down."""

    in_channels: int
    out_channels: int
    channels: tuple[int, ...]
    blocks_per_level: int
    attention: tuple[bool, ...]
    context_width: int
    linear_projection: bool

    def config(self, attention_heads: int | tuple[int, ...], sample_size: int = 64) -> dict[str, Any]:
        """The arguments of diffusers' UNet2DConditionModel. Its `attention_head_dim` is, for historical reasons, the number of heads."""
        down = tuple("CrossAttnDownBlock2D" if has else "DownBlock2D" for has in self.attention)
        up = tuple("CrossAttnUpBlock2D" if has else "UpBlock2D" for has in reversed(self.attention))
        return {
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "block_out_channels": self.channels,
            "layers_per_block": self.blocks_per_level,
            "down_block_types": down,
            "up_block_types": up,
            "cross_attention_dim": self.context_width,
            "attention_head_dim": attention_heads,
            "use_linear_projection": self.linear_projection,
            "sample_size": sample_size,
        }


def original_sizes(header: Header, prefix: str) -> UNetSizes | None:
    """The sizes of a UNet in the original layout under `prefix`, or None when there is none, or one of another family."""
    first = header.shape(f"{prefix}input_blocks.0.0.weight")
    if len(first) != 4 or _foreign(header, prefix):
        return None
    levels: list[list[tuple[int, bool]]] = [[]]
    index = 1
    while True:
        block = f"{prefix}input_blocks.{index}"
        if f"{block}.0.in_layers.0.weight" in header:
            levels[-1].append((header.width(f"{block}.0.out_layers.3.weight"), f"{block}.1.norm.weight" in header))
        elif f"{block}.0.op.weight" in header:
            levels.append([])
        else:
            break
        index += 1
    return _sizes(header, levels, first, prefix, "out.2", "middle_block.1")


def diffusers_sizes(header: Header, prefix: str) -> UNetSizes | None:
    """As `original_sizes`, of a UNet in diffusers' layout."""
    first = header.shape(f"{prefix}conv_in.weight")
    if len(first) != 4 or f"{prefix}down_blocks.0.resnets.0.conv1.weight" not in header or _foreign(header, prefix):
        return None
    levels: list[list[tuple[int, bool]]] = []
    for level in range(count(header, prefix + "down_blocks.{}.resnets.0.conv1.weight")):
        block = f"{prefix}down_blocks.{level}"
        levels.append([
            (header.width(f"{block}.resnets.{number}.conv1.weight"), f"{block}.attentions.{number}.norm.weight" in header)
            for number in range(count(header, block + ".resnets.{}.conv1.weight"))
        ])  # fmt: skip
    return _sizes(header, levels, first, prefix, "conv_out", "mid_block.attentions.0")


def unet_modules(sizes: UNetSizes) -> Iterator[tuple[str, str]]:
    """(name in diffusers, name in the original layout) of every module with weights; not all have a shortcut."""
    yield "conv_in", "input_blocks.0.0"
    yield "time_embedding.linear_1", "time_embed.0"
    yield "time_embedding.linear_2", "time_embed.2"
    yield "conv_norm_out", "out.0"
    yield "conv_out", "out.2"
    deepest = len(sizes.channels) - 1
    index = 1
    for level, has_attention in enumerate(sizes.attention):
        for number in range(sizes.blocks_per_level):
            yield from _block(f"down_blocks.{level}", number, f"input_blocks.{index}", has_attention)
            index += 1
        if level < deepest:
            yield f"down_blocks.{level}.downsamplers.0.conv", f"input_blocks.{index}.0.op"
            index += 1
    yield from _resnet("mid_block.resnets.0", "middle_block.0")
    yield from _attention("mid_block.attentions.0", "middle_block.1")
    yield from _resnet("mid_block.resnets.1", "middle_block.2")
    index = 0
    for level, has_attention in enumerate(reversed(sizes.attention)):
        for number in range(sizes.blocks_per_level + 1):
            yield from _block(f"up_blocks.{level}", number, f"output_blocks.{index}", has_attention)
            if level < deepest and number == sizes.blocks_per_level:
                yield f"up_blocks.{level}.upsamplers.0.conv", f"output_blocks.{index}.{2 if has_attention else 1}.conv"
            index += 1


def _sizes(
    header: Header, levels: list[list[tuple[int, bool]]], first: tuple[int, ...], prefix: str, last: str, middle: str
) -> UNetSizes | None:
    context = header.shape(f"{prefix}{middle}.transformer_blocks.0.attn2.to_k.weight")
    out_channels = header.shape(f"{prefix}{last}.weight")[:1]
    uniform = all(len(set(level)) == 1 and len(level) == len(levels[0]) for level in levels)
    if len(context) != 2 or not out_channels or not uniform or f"{prefix}{middle}.transformer_blocks.1.norm1.weight" in header:
        return None
    return UNetSizes(
        in_channels=first[1],
        out_channels=out_channels[0],
        channels=tuple(level[0][0] for level in levels),
        blocks_per_level=len(levels[0]),
        attention=tuple(level[0][1] for level in levels),
        context_width=context[1],
        linear_projection=len(header.shape(f"{prefix}{middle}.proj_in.weight")) == 2,
    )


def _foreign(header: Header, prefix: str) -> bool:
    return any(mark in name for name in header if name.startswith(prefix) for mark in FOREIGN_MARKS)


def _block(target: str, number: int, source: str, has_attention: bool) -> Iterator[tuple[str, str]]:
    yield from _resnet(f"{target}.resnets.{number}", f"{source}.0")
    if has_attention:
        yield from _attention(f"{target}.attentions.{number}", f"{source}.1")


def _resnet(target: str, source: str) -> Iterator[tuple[str, str]]:
    for ours, theirs in RESNET:
        yield f"{target}.{ours}", f"{source}.{theirs}"


def _attention(target: str, source: str) -> Iterator[tuple[str, str]]:
    for name in ATTENTION:
        yield f"{target}.{name}", f"{source}.{name}"
