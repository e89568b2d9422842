"""Which base model an adapter seems made for, in words: for messages, never for decisions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from marquetry.engine.models.adapters.adapter import PublishedDelta

SAID: Sequence[tuple[str, str]] = (  # parts of what metadata says -> base
    ("sdxl", "Stable Diffusion XL"),
    ("stable-diffusion-xl", "Stable Diffusion XL"),
    ("stable-diffusion-3", "Stable Diffusion 3"),
    ("sd3", "Stable Diffusion 3"),
    ("sd_v2", "Stable Diffusion 2"),
    ("stable-diffusion-v2", "Stable Diffusion 2"),
    ("sd_v1", "Stable Diffusion 1"),
    ("stable-diffusion-v1", "Stable Diffusion 1"),
    ("flux", "FLUX"),
    ("wan", "Wan"),
    ("qwen", "Qwen-Image"),
    ("hunyuan", "HunyuanVideo"),
    ("lumina", "Lumina"),
)
MARKS: Sequence[tuple[str, str]] = (  # parts of module names -> base
    ("single_transformer_blocks_", "FLUX"),
    ("double_blocks_", "FLUX"),
    ("single_blocks_", "FLUX"),
    ("joint_blocks_", "Stable Diffusion 3"),
    ("_img_mlp", "Qwen-Image"),
    ("_cross_attn_", "Wan"),
    ("_adaLN_modulation", "Z-Image or Lumina"),
)
CROSS_ATTENTION_WIDTHS: Mapping[int, str] = {
    768: "Stable Diffusion 1",
    1024: "Stable Diffusion 2",
    1280: "the Stable Diffusion XL refiner",
    2048: "Stable Diffusion XL",
}
METADATA_KEYS = ("ss_base_model_version", "modelspec.architecture")


def base_of(deltas: Iterable[PublishedDelta], metadata: Mapping[str, str]) -> str:
    """In words, from metadata, module names, and the width of what cross-attention reads."""
    for key in METADATA_KEYS:
        said = metadata.get(key, "").lower()
        for mark, base in SAID:
            if mark in said:
                return base
    known = list(deltas)
    for mark, base in MARKS:
        if any(mark in published.key for published in known):
            return base
    for published in known:
        if published.key.endswith(("attn2_to_k", "attn2_to_v")):
            width = published.delta.size[1]
            if width is not None:
                return CROSS_ATTENTION_WIDTHS.get(width, f"a model whose cross-attention reads tokens of width {width}")
    if any(published.part == "text_encoder_2" for published in known):
        return "Stable Diffusion XL"
    if known and all(published.part is not None and published.part.startswith("text_encoder") for published in known):
        return "a text encoder only"
    return "an unknown base model"
