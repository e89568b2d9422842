"""The UNet of Stable Diffusion 1, 2 and XL: its sizes from a header, and its modules in the original layout beside those of diffusers.

The original layout numbers `input_blocks`, `middle_block` and `output_blocks` through; diffusers groups them by level.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from marquetry.engine.models.layout.table import count
from marquetry.engine.models.safetensors_file import Header

FOREIGN_MARKS = ("class_embedding.", "time_stack.", "temporal_", "motion_modules.")
RESNET = (
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("conv_shortcut", "skip_connection"),
)
AROUND_ATTENTION = ("norm", "proj_in", "proj_out")
BLOCK = (
    "norm1", "norm2", "norm3", "ff.net.0.proj", "ff.net.2",
    *(f"{attention}.{name}" for attention in ("attn1", "attn2") for name in ("to_q", "to_k", "to_v", "to_out.0")),
)  # fmt: skip


@dataclass(frozen=True)
class UNetSizes:
    """The sizes that make one UNet of this kind differ from another; `channels` and `depths` go from the finest level down.

    `depths` are the transformer blocks of each attention on a level, 0 for levels without; `vector_width` is the width of what is added to
    the time's embedding (XL), 0 for none.
    """

    in_channels: int
    out_channels: int
    channels: tuple[int, ...]
    blocks_per_level: int
    depths: tuple[int, ...]
    context_width: int
    linear_projection: bool
    middle_depth: int = 1
    vector_width: int = 0

    @property
    def attention(self) -> tuple[bool, ...]:
        """Which levels have attention."""
        return tuple(depth > 0 for depth in self.depths)

    def config(self, attention_heads: int | tuple[int, ...], sample_size: int = 64) -> dict[str, Any]:
        """The arguments of diffusers' UNet2DConditionModel. Its `attention_head_dim` is, for historical reasons, the number of heads."""
        down = tuple("CrossAttnDownBlock2D" if has else "DownBlock2D" for has in self.attention)
        up = tuple("CrossAttnUpBlock2D" if has else "UpBlock2D" for has in reversed(self.attention))
        deep = {} if max(*self.depths, self.middle_depth) == 1 else {"transformer_layers_per_block": self._depth_of_each_level()}
        return deep | {
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

    def _depth_of_each_level(self) -> tuple[int, ...]:
        """Diffusers takes the last one for the middle; levels without attention don't mind."""
        return (*self.depths[:-1], self.middle_depth) if self.depths[-1] in (0, self.middle_depth) else self.depths


def original_sizes(header: Header, prefix: str, *, half: bool = False) -> UNetSizes | None:
    """The sizes of a UNet in the original layout under `prefix`, or None when there is none, or one of another family.

    `half`: of its first half alone, as a ControlNet is.
    """
    first = header.shape(f"{prefix}input_blocks.0.0.weight")
    if len(first) != 4 or _foreign(header, prefix):
        return None
    levels: list[list[tuple[int, int]]] = [[]]
    index = 1
    while True:
        block = f"{prefix}input_blocks.{index}"
        if f"{block}.0.in_layers.0.weight" in header:
            levels[-1].append((header.width(f"{block}.0.out_layers.3.weight"), _depth(header, f"{block}.1")))
        elif f"{block}.0.op.weight" in header:
            levels.append([])
        else:
            break
        index += 1
    return _sizes(header, levels, first, prefix, None if half else "out.2", "middle_block.1", "label_emb.0.0")


def diffusers_sizes(header: Header, prefix: str, *, half: bool = False) -> UNetSizes | None:
    """As `original_sizes`, of a UNet in diffusers' layout."""
    first = header.shape(f"{prefix}conv_in.weight")
    if len(first) != 4 or f"{prefix}down_blocks.0.resnets.0.conv1.weight" not in header or _foreign(header, prefix):
        return None
    levels: list[list[tuple[int, int]]] = []
    for level in range(count(header, prefix + "down_blocks.{}.resnets.0.conv1.weight")):
        block = f"{prefix}down_blocks.{level}"
        levels.append([
            (header.width(f"{block}.resnets.{number}.conv1.weight"), _depth(header, f"{block}.attentions.{number}"))
            for number in range(count(header, block + ".resnets.{}.conv1.weight"))
        ])  # fmt: skip
    return _sizes(header, levels, first, prefix, None if half else "conv_out", "mid_block.attentions.0", "add_embedding.linear_1")


def unet_modules(sizes: UNetSizes) -> Iterator[tuple[str, str]]:
    """(name in diffusers, name in the original layout) of every module with weights; not all have a shortcut."""
    yield "conv_in", "input_blocks.0.0"
    yield "time_embedding.linear_1", "time_embed.0"
    yield "time_embedding.linear_2", "time_embed.2"
    if sizes.vector_width:
        yield "add_embedding.linear_1", "label_emb.0.0"
        yield "add_embedding.linear_2", "label_emb.0.2"
    yield "conv_norm_out", "out.0"
    yield "conv_out", "out.2"
    deepest = len(sizes.channels) - 1
    index = 1
    for level, depth in enumerate(sizes.depths):
        for number in range(sizes.blocks_per_level):
            yield from _block(f"down_blocks.{level}", number, f"input_blocks.{index}", depth)
            index += 1
        if level < deepest:
            yield f"down_blocks.{level}.downsamplers.0.conv", f"input_blocks.{index}.0.op"
            index += 1
    yield from _resnet("mid_block.resnets.0", "middle_block.0")
    yield from _attention("mid_block.attentions.0", "middle_block.1", sizes.middle_depth)
    yield from _resnet("mid_block.resnets.1", "middle_block.2")
    index = 0
    for level, depth in enumerate(reversed(sizes.depths)):
        for number in range(sizes.blocks_per_level + 1):
            yield from _block(f"up_blocks.{level}", number, f"output_blocks.{index}", depth)
            if level < deepest and number == sizes.blocks_per_level:
                yield f"up_blocks.{level}.upsamplers.0.conv", f"output_blocks.{index}.{2 if depth else 1}.conv"
            index += 1


def _sizes(
    header: Header, levels: list[list[tuple[int, int]]], first: tuple[int, ...], prefix: str, last: str | None, middle: str, vector: str
) -> UNetSizes | None:
    context = header.shape(f"{prefix}{middle}.transformer_blocks.0.attn2.to_k.weight")
    out_channels = first[1:2] if last is None else header.shape(f"{prefix}{last}.weight")[:1]
    uniform = all(len(set(level)) == 1 and len(level) == len(levels[0]) for level in levels)
    if not context and last is None and not any(depth for level in levels for _, depth in level):
        context = (0, 0)  # a ControlNet without any attention
    if len(context) != 2 or not out_channels or not uniform:
        return None
    return UNetSizes(
        in_channels=first[1],
        out_channels=out_channels[0],
        channels=tuple(level[0][0] for level in levels),
        blocks_per_level=len(levels[0]),
        depths=tuple(level[0][1] for level in levels),
        context_width=context[1],
        linear_projection=len(header.shape(f"{prefix}{middle}.proj_in.weight")) == 2,
        middle_depth=_depth(header, f"{prefix}{middle}"),
        vector_width=header.shape(f"{prefix}{vector}.weight")[-1] if f"{prefix}{vector}.weight" in header else 0,
    )


def _foreign(header: Header, prefix: str) -> bool:
    return any(mark in name for name in header if name.startswith(prefix) for mark in FOREIGN_MARKS)


def _depth(header: Header, attention: str) -> int:
    return count(header, attention + ".transformer_blocks.{}.norm1.weight")


def _block(target: str, number: int, source: str, depth: int) -> Iterator[tuple[str, str]]:
    yield from _resnet(f"{target}.resnets.{number}", f"{source}.0")
    if depth:
        yield from _attention(f"{target}.attentions.{number}", f"{source}.1", depth)


def _resnet(target: str, source: str) -> Iterator[tuple[str, str]]:
    for ours, theirs in RESNET:
        yield f"{target}.{ours}", f"{source}.{theirs}"


def _attention(target: str, source: str, depth: int) -> Iterator[tuple[str, str]]:
    for name in AROUND_ATTENTION:
        yield f"{target}.{name}", f"{source}.{name}"
    for block in range(depth):
        for name in BLOCK:
            yield f"{target}.transformer_blocks.{block}.{name}", f"{source}.transformer_blocks.{block}.{name}"
