"""Image encoders of CLIP (Radford et al. 2021) and SigLIP (Zhai et al. 2023): sizes from a header, tensors in transformers' layout and OpenCLIP's."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from marquetry.engine.models.layout.table import Form, Piece, count
from marquetry.engine.models.layout.text_encoder import LAYER, OPEN_LAYER, THIRDS
from marquetry.engine.models.safetensors_file import Header

Kind: TypeAlias = Literal["clip", "siglip"]
CONFIG_KEY = "marquetry.clip_vision"
SAID = ("num_attention_heads", "hidden_act", "layer_norm_eps")  # what shapes can't show
HEAD_WIDTH, MOST_HEADS = 64, 16  # from ViT-L on there are 16 of them, however wide
OPEN_CLIP_WIDTH = 1280  # ViT-H; it and ViT-bigG use GELU, OpenAI's smaller ones its quick form
PREFIXES = ("", "image_encoder.", "clip_vision.", "vision_tower.", "model.")
OPEN_PREFIXES = (
    "visual.", "embedder.model.visual.", "conditioner.embedders.0.open_clip.model.visual.", "cond_stage_model.model.visual.", "model.visual.",
)  # fmt: skip
PARTS = ("embeddings.", "pre_layrnorm.", "encoder.layers.", "post_layernorm.", "head.")


@dataclass(frozen=True)
class ImageEncoderSizes:
    """`side` is that of the pictures it takes, in pixels; `projection` the width of its embeddings, 0 without a projection."""

    kind: Kind
    width: int
    layers: int
    feed_forward_width: int
    patch: int
    side: int
    projection: int
    headless: bool = False  # a SigLIP encoder published without its pooling

    def config(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of transformers' configuration; `said` is what the file tells of itself."""
        heads = max(1, min(MOST_HEADS, self.width // HEAD_WIDTH))
        clip_activation = "gelu" if self.width >= OPEN_CLIP_WIDTH else "quick_gelu"
        return {
            "hidden_size": self.width,
            "intermediate_size": self.feed_forward_width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": heads,
            "image_size": self.side,
            "patch_size": self.patch,
            "hidden_act": clip_activation if self.kind == "clip" else "gelu_pytorch_tanh",
            **({"projection_dim": self.projection or self.width} if self.kind == "clip" else {"vision_use_head": not self.headless}),
            **{name: said[name] for name in SAID if said.get(name) is not None},
        }


def transformers_sizes(header: Header, prefix: str) -> ImageEncoderSizes | None:
    """The sizes of an encoder in transformers' layout, whose `embeddings.` stand under `prefix`; or None."""
    patches = header.shape(f"{prefix}embeddings.patch_embedding.weight")
    places = header.shape(f"{prefix}embeddings.position_embedding.weight")
    feed_forward = header.width(f"{prefix}encoder.layers.0.mlp.fc1.weight")
    if len(patches) != 4 or len(places) != 2 or not feed_forward:
        return None
    kind: Kind = "clip" if f"{prefix}embeddings.class_embedding" in header else "siglip"
    side = _side(places[0] - (kind == "clip"), patches[-1])
    projection = header.width(f"{above(prefix)}visual_projection.weight") if kind == "clip" else 0
    layers = count(header, prefix + "encoder.layers.{}.mlp.fc1.weight")
    headless = f"{prefix}head.probe" not in header
    return None if side is None else ImageEncoderSizes(kind, patches[0], layers, feed_forward, patches[-1], side, projection, headless)


def open_clip_sizes(header: Header, prefix: str) -> ImageEncoderSizes | None:
    """The same for OpenCLIP's layout, and OpenAI's, which is alike."""
    patches = header.shape(f"{prefix}conv1.weight")
    places = header.shape(f"{prefix}positional_embedding")
    feed_forward = header.width(f"{prefix}transformer.resblocks.0.mlp.c_fc.weight")
    if len(patches) != 4 or len(places) != 2 or not feed_forward or f"{prefix}class_embedding" not in header:
        return None
    side = _side(places[0] - 1, patches[-1])
    projection = next(iter(header.shape(f"{prefix}proj")[1:2]), 0)
    layers = count(header, prefix + "transformer.resblocks.{}.mlp.c_fc.weight")
    return None if side is None else ImageEncoderSizes("clip", patches[0], layers, feed_forward, patches[-1], side, projection)


def said_of(header: Header) -> Mapping[str, Any]:
    """What a file tells of itself in its metadata."""
    try:
        said = json.loads(header.metadata.get(CONFIG_KEY, "{}"))
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def transformers_table(sizes: ImageEncoderSizes, header: Header, prefix: str) -> dict[str, Piece]:
    """Where the network's tensors stand in a file of transformers' layout."""
    inside = "vision_model." if sizes.projection else ""
    names = (name.removeprefix(prefix) for name in header if name.startswith(prefix))
    kept = (name for name in names if name.startswith(PARTS) and not name.endswith("position_ids"))
    table = {f"{inside}{name}": Piece(f"{prefix}{name}") for name in kept}
    if sizes.projection:
        table["visual_projection.weight"] = Piece(f"{above(prefix)}visual_projection.weight")
    return table


def open_clip_table(sizes: ImageEncoderSizes, prefix: str) -> dict[str, Piece]:
    """Where they stand in a file of OpenCLIP's layout: queries, keys and values are one tensor, the projection is turned."""
    inside = "vision_model." if sizes.projection else ""
    table = {f"{inside}{target}": Piece(f"{prefix}{source}", form) for target, source, form in _open_clip_names(sizes.layers)}
    if sizes.projection:
        table["visual_projection.weight"] = Piece(f"{prefix}proj", "transposed")
    return table


def above(prefix: str) -> str:
    """What stands before the projection's name."""
    return prefix.removesuffix("vision_model.")


def _open_clip_names(layers: int) -> Iterator[tuple[str, str, Form]]:
    yield "embeddings.class_embedding", "class_embedding", "same"
    yield "embeddings.patch_embedding.weight", "conv1.weight", "same"
    yield "embeddings.position_embedding.weight", "positional_embedding", "same"
    for suffix in ("weight", "bias"):
        yield f"pre_layrnorm.{suffix}", f"ln_pre.{suffix}", "same"
        yield f"post_layernorm.{suffix}", f"ln_post.{suffix}", "same"
        for layer in range(layers):
            target, source = f"encoder.layers.{layer}", f"transformer.resblocks.{layer}"
            for ours, theirs in zip(LAYER, OPEN_LAYER, strict=True):
                yield f"{target}.{ours}.{suffix}", f"{source}.{theirs}.{suffix}", "same"
            for name, form in THIRDS:
                yield f"{target}.self_attn.{name}.{suffix}", f"{source}.attn.in_proj_{suffix}", form


def _side(patches: int, patch: int) -> int | None:
    root = math.isqrt(max(0, patches))
    return root * patch if root and root * root == patches else None
