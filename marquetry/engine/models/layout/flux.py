"""The transformer of Flux.1 (Black Forest Labs 2024): sizes from a header, tensors in the original layout beside diffusers'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from marquetry.engine.models.layout.table import Piece, count, same_names, table_of_modules, thirds
from marquetry.engine.models.safetensors_file import Header

EMBEDDERS = (
    ("x_embedder", "img_in"),
    ("context_embedder", "txt_in"),
    *(
        (f"time_text_embed.{ours}.linear_{number}", f"{theirs}.{side}_layer")
        for ours, theirs in (("timestep_embedder", "time_in"), ("text_embedder", "vector_in"), ("guidance_embedder", "guidance_in"))
        for number, side in ((1, "in"), (2, "out"))
    ),
    ("proj_out", "final_layer.linear"),
)
DOUBLE = (
    ("norm1.linear", "img_mod.lin"), ("norm1_context.linear", "txt_mod.lin"), ("attn.to_out.0", "img_attn.proj"),
    ("attn.to_add_out", "txt_attn.proj"), ("ff.net.0.proj", "img_mlp.0"), ("ff.net.2", "img_mlp.2"), ("ff_context.net.0.proj", "txt_mlp.0"),
    ("ff_context.net.2", "txt_mlp.2"),
)  # fmt: skip
DOUBLE_NORMS = (
    ("attn.norm_q", "img_attn.norm.query_norm"), ("attn.norm_k", "img_attn.norm.key_norm"),
    ("attn.norm_added_q", "txt_attn.norm.query_norm"), ("attn.norm_added_k", "txt_attn.norm.key_norm"),
)  # fmt: skip
SINGLE = (("norm.linear", "modulation.lin"), ("proj_out", "linear2"))
SINGLE_NORMS = (("attn.norm_q", "norm.query_norm"), ("attn.norm_k", "norm.key_norm"))


@dataclass(frozen=True)
class FluxSizes:
    """`channels` are those of a patch of 2 x 2 latent pixels, with what is given beside the latent; `out_channels` those of the latent's."""

    channels: int
    out_channels: int
    width: int
    head_width: int
    double_layers: int
    single_layers: int
    context_width: int
    pooled_width: int
    guided: bool

    def config(self) -> dict[str, Any]:
        """The arguments of diffusers' FluxTransformer2DModel. Axes share a head 2 : 7 : 7, as in the published one of 128."""
        turned = self.head_width * 7 // 16
        return {
            "patch_size": 1,
            "in_channels": self.channels,
            "out_channels": self.out_channels,
            "num_layers": self.double_layers,
            "num_single_layers": self.single_layers,
            "attention_head_dim": self.head_width,
            "num_attention_heads": self.width // self.head_width,
            "joint_attention_dim": self.context_width,
            "pooled_projection_dim": self.pooled_width,
            "guidance_embeds": self.guided,
            "axes_dims_rope": (self.head_width - 2 * turned, turned, turned),
        }


def original_sizes(header: Header, prefix: str) -> FluxSizes | None:
    """The sizes of a transformer in the original layout under `prefix`, or None."""
    return _sizes(
        header, prefix, first="img_in", last="final_layer.linear", words="txt_in", text="vector_in.in_layer", guidance="guidance_in.in_layer",
        norm=("double_blocks.0.img_attn.norm.query_norm.scale", "double_blocks.0.img_attn.norm.query_norm.weight"),
        double="double_blocks.{}.img_mod.lin.weight", single="single_blocks.{}.modulation.lin.weight",
    )  # fmt: skip


def diffusers_sizes(header: Header, prefix: str) -> FluxSizes | None:
    """As `original_sizes`, in diffusers' layout."""
    return _sizes(
        header, prefix, first="x_embedder", last="proj_out", words="context_embedder", text="time_text_embed.text_embedder.linear_1",
        guidance="time_text_embed.guidance_embedder.linear_1", norm=("transformer_blocks.0.attn.norm_q.weight",),
        double="transformer_blocks.{}.norm1_context.linear.weight", single="single_transformer_blocks.{}.proj_mlp.weight",
    )  # fmt: skip


def original_table(sizes: FluxSizes, header: Header, prefix: str) -> dict[str, Piece]:
    """Where the network's tensors stand in a file of the original layout."""
    table = table_of_modules(EMBEDDERS, header, prefix)
    table |= table_of_modules((("norm_out.linear", "final_layer.adaLN_modulation.1"),), header, prefix, "swapped")
    for layer in range(sizes.double_layers):
        theirs = f"{prefix}double_blocks.{layer}."
        part = table_of_modules(DOUBLE, header, theirs) | _norms(DOUBLE_NORMS, header, theirs)
        part |= thirds(("attn.to_q", "attn.to_k", "attn.to_v"), "img_attn.qkv", header, theirs)
        part |= thirds(("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"), "txt_attn.qkv", header, theirs)
        table |= {f"transformer_blocks.{layer}.{name}": piece for name, piece in part.items()}
    for layer in range(sizes.single_layers):
        theirs = f"{prefix}single_blocks.{layer}."
        part = table_of_modules(SINGLE, header, theirs) | _norms(SINGLE_NORMS, header, theirs) | _fused(sizes.width, header, theirs)
        table |= {f"single_transformer_blocks.{layer}.{name}": piece for name, piece in part.items()}
    return table


def diffusers_table(header: Header, prefix: str) -> dict[str, Piece]:
    """The same for diffusers' layout."""
    return same_names(header, prefix)


def _norms(names: tuple[tuple[str, str], ...], header: Header, prefix: str) -> dict[str, Piece]:
    found = {}
    for target, source in names:
        for end in ("scale", "weight"):
            if f"{prefix}{source}.{end}" in header:
                found[f"{target}.weight"] = Piece(f"{prefix}{source}.{end}")
    return found


def _fused(width: int, header: Header, prefix: str) -> dict[str, Piece]:
    """Queries, keys, values and the first matrix of the feed-forward part stand in one tensor."""
    table = {}
    for suffix in ("weight", "bias"):
        source = f"{prefix}linear1.{suffix}"
        rows = header.shape(source)[:1]
        if not rows:
            continue
        cuts = [*(width * number for number in range(4)), rows[0]]
        for number, target in enumerate(("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")):
            table[f"{target}.{suffix}"] = Piece(source, "rows", (cuts[number], cuts[number + 1]))
    return table


def _sizes(
    header: Header,
    prefix: str,
    *,
    first: str,
    last: str,
    words: str,
    text: str,
    guidance: str,
    norm: tuple[str, ...],
    double: str,
    single: str,
) -> FluxSizes | None:
    patches, context = header.shape(f"{prefix}{first}.weight"), header.shape(f"{prefix}{words}.weight")
    pooled, out = header.shape(f"{prefix}{text}.weight"), header.shape(f"{prefix}{last}.weight")
    heads = next((header.shape(prefix + name) for name in norm if prefix + name in header), ())
    doubles, singles = count(header, prefix + double), count(header, prefix + single)
    if len(patches) != 2 or len(context) != 2 or len(pooled) != 2 or len(heads) != 1 or not out or not doubles:
        return None
    return FluxSizes(
        patches[1], out[0], patches[0], heads[0], doubles, singles, context[1], pooled[1], f"{prefix}{guidance}.weight" in header
    )
