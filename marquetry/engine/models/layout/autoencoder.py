"""The autoencoder of Stable Diffusion (Rombach et al. 2022): sizes from a header, modules in the original layout beside diffusers'."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from marquetry.engine.models.layout.table import Piece, count, table_of_modules
from marquetry.engine.models.safetensors_file import Header

ATTENTION = (("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out"))
OLD_ATTENTION = (("group_norm", "group_norm"), ("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn"))


@dataclass(frozen=True)
class AutoencoderSizes:
    """`channels` go from the finest level down; each level after the first halves the picture's sides."""

    picture_channels: int
    latent_channels: int
    channels: tuple[int, ...]
    blocks_per_level: int
    quantised: bool = True  # a 1x1 convolution stands on either side of the latent

    @property
    def ratio(self) -> int:
        """Pixels per latent element along a side."""
        return int(2 ** (len(self.channels) - 1))

    def config(self, scale_factor: float) -> dict[str, Any]:
        """The arguments of diffusers' AutoencoderKL."""
        return {
            "in_channels": self.picture_channels,
            "out_channels": self.picture_channels,
            "latent_channels": self.latent_channels,
            "block_out_channels": self.channels,
            "layers_per_block": self.blocks_per_level,
            "down_block_types": ("DownEncoderBlock2D",) * len(self.channels),
            "up_block_types": ("UpDecoderBlock2D",) * len(self.channels),
            "scaling_factor": scale_factor,
        } | ({} if self.quantised else {"use_quant_conv": False, "use_post_quant_conv": False})


def original_sizes(header: Header, prefix: str) -> AutoencoderSizes | None:
    """The sizes of an autoencoder in the original layout under `prefix`, or None."""
    return _sizes(header, prefix, "encoder.down.{}.block.0.conv1.weight", "encoder.down.{}.block.{{}}.conv1.weight")


def diffusers_sizes(header: Header, prefix: str) -> AutoencoderSizes | None:
    """As `original_sizes`, in diffusers' layout."""
    return _sizes(header, prefix, "encoder.down_blocks.{}.resnets.0.conv1.weight", "encoder.down_blocks.{}.resnets.{{}}.conv1.weight")


def original_table(sizes: AutoencoderSizes, header: Header, prefix: str) -> dict[str, Piece]:
    """Where the network's tensors stand in a file of the original layout; the attention's matrices are 1x1 convolutions there."""
    table = table_of_modules(autoencoder_modules(sizes), header, prefix)
    for target, source in _attentions("attn_1", ATTENTION):
        for suffix in ("weight", "bias"):
            name = f"{prefix}{source}.{suffix}"
            if name in header:
                table[f"{target}.{suffix}"] = Piece(name, "squeezed" if len(header.shape(name)) == 4 else "same")
    return table


def diffusers_table(sizes: AutoencoderSizes, header: Header, prefix: str) -> dict[str, Piece]:
    """The same for diffusers' layout, with the names that its attention had in early files."""
    table = table_of_modules(((target, target) for target, _ in autoencoder_modules(sizes)), header, prefix)
    table |= table_of_modules(((target, target) for target, _ in _attentions("attn_1", ATTENTION)), header, prefix)
    return table | table_of_modules(_attentions("attentions.0", OLD_ATTENTION, "mid_block"), header, prefix)


def original_pieces(sizes: AutoencoderSizes, names: dict[str, object]) -> dict[str, Piece]:
    """The table for writing a file in the original layout; `names` are the network's own tensors."""
    modules = list(autoencoder_modules(sizes))
    pieces = {f"{target}.{suffix}": Piece(f"{source}.{suffix}") for target, source in modules for suffix in ("weight", "bias")}
    for target, source in _attentions("attn_1", ATTENTION):
        form: Any = "same" if target.endswith("group_norm") else "squeezed"
        pieces[f"{target}.weight"] = Piece(f"{source}.weight", form)
        pieces[f"{target}.bias"] = Piece(f"{source}.bias")
    return {name: piece for name, piece in pieces.items() if name in names}


def autoencoder_modules(sizes: AutoencoderSizes) -> Iterator[tuple[str, str]]:
    """(name in diffusers, name in the original layout) of every module but the attention's."""
    yield "quant_conv", "quant_conv"
    yield "post_quant_conv", "post_quant_conv"
    levels = len(sizes.channels)
    for side in ("encoder", "decoder"):
        yield f"{side}.conv_in", f"{side}.conv_in"
        yield f"{side}.conv_norm_out", f"{side}.norm_out"
        yield f"{side}.conv_out", f"{side}.conv_out"
        for number in range(2):
            yield from _resnet(f"{side}.mid_block.resnets.{number}", f"{side}.mid.block_{number + 1}")
    for level in range(levels):
        for number in range(sizes.blocks_per_level):
            yield from _resnet(f"encoder.down_blocks.{level}.resnets.{number}", f"encoder.down.{level}.block.{number}")
        yield f"encoder.down_blocks.{level}.downsamplers.0.conv", f"encoder.down.{level}.downsample.conv"
        theirs = levels - 1 - level
        for number in range(sizes.blocks_per_level + 1):
            yield from _resnet(f"decoder.up_blocks.{level}.resnets.{number}", f"decoder.up.{theirs}.block.{number}")
        yield f"decoder.up_blocks.{level}.upsamplers.0.conv", f"decoder.up.{theirs}.upsample.conv"


def _sizes(header: Header, prefix: str, levels: str, blocks: str) -> AutoencoderSizes | None:
    first, latent = header.shape(f"{prefix}encoder.conv_in.weight"), header.shape(f"{prefix}decoder.conv_in.weight")
    number = count(header, prefix + levels)
    if len(first) != 4 or len(latent) != 4 or number == 0:
        return None
    return AutoencoderSizes(
        picture_channels=first[1],
        latent_channels=latent[1],
        channels=tuple(header.width(prefix + levels.format(level)) for level in range(number)),
        blocks_per_level=count(header, prefix + blocks.format(0)),
        quantised=f"{prefix}post_quant_conv.weight" in header,
    )


def _resnet(target: str, source: str) -> Iterator[tuple[str, str]]:
    for name in ("norm1", "conv1", "norm2", "conv2"):
        yield f"{target}.{name}", f"{source}.{name}"
    yield f"{target}.conv_shortcut", f"{source}.nin_shortcut"


def _attentions(place: str, names: tuple[tuple[str, str], ...], block: str = "mid") -> Iterator[tuple[str, str]]:
    for side in ("encoder", "decoder"):
        for ours, theirs in names:
            yield f"{side}.mid_block.attentions.0.{ours}", f"{side}.{block}.{place}.{theirs}"
