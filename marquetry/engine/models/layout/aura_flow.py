"""The transformer of AuraFlow (fal 2024): sizes from a header, tensors in the original layout beside diffusers'."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from marquetry.engine.models.layout.table import Piece, count, table_of_modules
from marquetry.engine.models.safetensors_file import Header

HEAD_WIDTH = 256
WHOLE = (("register_tokens", "register_tokens"), ("pos_embed.pos_embed", "positional_encoding"))
EMBEDDERS = (
    ("pos_embed.proj", "init_x_linear"), ("time_step_proj.linear_1", "t_embedder.mlp.0"), ("time_step_proj.linear_2", "t_embedder.mlp.2"),
    ("context_embedder", "cond_seq_linear"), ("proj_out", "final_linear"),
)  # fmt: skip
FEED_FORWARD = (("linear_1", "c_fc1"), ("linear_2", "c_fc2"), ("out_projection", "c_proj"))
PICTURE = (("to_q", "w2q"), ("to_k", "w2k"), ("to_v", "w2v"), ("to_out.0", "w2o"))
WORDS = (("add_q_proj", "w1q"), ("add_k_proj", "w1k"), ("add_v_proj", "w1v"), ("to_add_out", "w1o"))
SINGLE = (("to_q", "w1q"), ("to_k", "w1k"), ("to_v", "w1v"), ("to_out.0", "w1o"))


@dataclass(frozen=True)
class AuraFlowSizes:
    """`channels` are those of a latent; `places` those that the network knows, in a square."""

    channels: int
    out_channels: int
    width: int
    joint_layers: int
    single_layers: int
    context_width: int
    places: int

    def config(self) -> dict[str, Any]:
        """The arguments of diffusers' AuraFlowTransformer2DModel."""
        return {
            "in_channels": self.channels,
            "out_channels": self.out_channels,
            "num_mmdit_layers": self.joint_layers,
            "num_single_dit_layers": self.single_layers,
            "attention_head_dim": HEAD_WIDTH,
            "num_attention_heads": self.width // HEAD_WIDTH,
            "joint_attention_dim": self.context_width,
            "caption_projection_dim": self.width,
            "pos_embed_max_size": self.places,
        }


def original_sizes(header: Header, prefix: str) -> AuraFlowSizes | None:
    """The sizes of a transformer in the original layout under `prefix`, or None."""
    return _sizes(
        header, prefix, first="init_x_linear", last="final_linear", words="cond_seq_linear", places="positional_encoding",
        joint="double_layers.{}.attn.w2q.weight", single="single_layers.{}.attn.w1q.weight",
    )  # fmt: skip


def diffusers_sizes(header: Header, prefix: str) -> AuraFlowSizes | None:
    """As `original_sizes`, in diffusers' layout."""
    return _sizes(
        header, prefix, first="pos_embed.proj", last="proj_out", words="context_embedder", places="pos_embed.pos_embed",
        joint="joint_transformer_blocks.{}.attn.to_q.weight", single="single_transformer_blocks.{}.attn.to_q.weight",
    )  # fmt: skip


def original_table(sizes: AuraFlowSizes, header: Header, prefix: str) -> dict[str, Piece]:
    """Where the network's tensors stand in a file of the original layout."""
    table = {target: Piece(prefix + source) for target, source in WHOLE if prefix + source in header}
    table |= table_of_modules((*EMBEDDERS, *modules(sizes)), header, prefix)
    return table | table_of_modules((("norm_out.linear", "modF.1"),), header, prefix, "swapped")


def modules(sizes: AuraFlowSizes) -> Iterator[tuple[str, str]]:
    """(name in diffusers, name in the original layout) of the modules of all layers."""
    for layer in range(sizes.joint_layers):
        ours, theirs = f"joint_transformer_blocks.{layer}.", f"double_layers.{layer}."
        yield from ((f"{ours}{norm}.linear", f"{theirs}{name}.1") for norm, name in (("norm1", "modX"), ("norm1_context", "modC")))
        yield from ((f"{ours}attn.{target}", f"{theirs}attn.{source}") for target, source in (*PICTURE, *WORDS))
        yield from ((f"{ours}ff.{target}", f"{theirs}mlpX.{source}") for target, source in FEED_FORWARD)
        yield from ((f"{ours}ff_context.{target}", f"{theirs}mlpC.{source}") for target, source in FEED_FORWARD)
    for layer in range(sizes.single_layers):
        ours, theirs = f"single_transformer_blocks.{layer}.", f"single_layers.{layer}."
        yield f"{ours}norm1.linear", f"{theirs}modCX.1"
        yield from ((f"{ours}attn.{target}", f"{theirs}attn.{source}") for target, source in SINGLE)
        yield from ((f"{ours}ff.{target}", f"{theirs}mlp.{source}") for target, source in FEED_FORWARD)


def _sizes(header: Header, prefix: str, *, first: str, last: str, words: str, places: str, joint: str, single: str) -> AuraFlowSizes | None:
    patches, context = header.shape(f"{prefix}{first}.weight"), header.shape(f"{prefix}{words}.weight")
    table, out = header.shape(f"{prefix}{places}"), header.width(f"{prefix}{last}.weight")
    layers = count(header, prefix + joint)
    if len(patches) != 2 or len(context) != 2 or len(table) != 3 or not out or not layers or f"{prefix}register_tokens" not in header:
        return None
    if patches[0] % HEAD_WIDTH:
        return None
    return AuraFlowSizes(patches[1] // 4, out // 4, patches[0], layers, count(header, prefix + single), context[1], table[1])
