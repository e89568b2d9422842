"""TextFile: a text encoder as it stands in a file, recognised by names and shapes, before any family says how it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from marquetry.engine.models.layout.decoder import ARCHITECTURES, Language, decoder_sizes, decoder_table, eyes
from marquetry.engine.models.layout.t5 import t5_sizes, t5_table
from marquetry.engine.models.layout.text_encoder import open_clip_sizes, open_clip_table, transformers_sizes, transformers_table
from marquetry.engine.models.network import NetworkRecipe
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.text.clip_tokenizer import END_TOKEN
from marquetry.engine.models.text.part import Kind, TextEncoderPart
from marquetry.engine.models.text.vocabularies import T5_PAD

PREFIXES = (
    "", "text_model.", "transformer.text_model.", "transformer.", "model.", "text_encoder.text_model.", "text_encoder.model.",
    "text_encoder.", "cond_stage_model.transformer.text_model.", "cond_stage_model.transformer.", "cond_stage_model.model.",
    "conditioner.embedders.0.model.", "clip_l.transformer.text_model.", "clip_g.transformer.text_model.", "clip_h.transformer.text_model.",
    "t5xxl.transformer.",
)  # fmt: skip
EYES = "transformers:Qwen2_5_VisionTransformerPretrainedModel:Qwen2_5_VLVisionConfig"
UMT5 = "transformers:UMT5EncoderModel:UMT5Config"
LARGE_CLIP_WIDTH = 1280  # OpenCLIP ViT-bigG


@dataclass(frozen=True)
class TextFile:
    """`width` and `layers` are the network's; `layout` is transformers' or OpenCLIP's; `header` is the whole file's."""

    kind: Kind
    recipe: NetworkRecipe
    prefix: str
    width: int
    layers: int
    layout: str
    header: Header = field(repr=False)
    hints: Mapping[str, Any] = field(default_factory=dict, repr=False)
    language: Language | None = None  # of a decoder
    eyes: NetworkRecipe | None = None

    def part(self, **reading: Any) -> TextEncoderPart:
        """As a family reads it."""
        return TextEncoderPart(self.recipe, kind=self.kind, eyes=self.eyes, prefix=self.prefix, **reading)


def text_files(header: Header, prefixes: tuple[str, ...] = PREFIXES, hints: Mapping[str, Any] | None = None) -> Iterator[TextFile]:
    """Every text encoder that stands under one of the prefixes; each prefix holds at most one."""
    for prefix in prefixes:
        found = _clip(header, prefix, hints or {}) or _open_clip(header, prefix) or _t5(header, prefix) or _decoder(header, prefix)
        if found is not None:
            yield found


def text_file(header: Header, prefixes: tuple[str, ...] = PREFIXES, hints: Mapping[str, Any] | None = None) -> TextFile | None:
    """The first of them, or None."""
    return next(text_files(header, prefixes, hints), None)


def by_size(files: list[tuple[int, TextFile]]) -> list[tuple[int, TextFile]]:
    """Numbered encoders of CLIP's kind from the smallest to the largest; equal ones stay in their order."""
    return sorted(files, key=lambda numbered: (numbered[1].width, numbered[1].layers))


def _clip(header: Header, prefix: str, hints: Mapping[str, Any]) -> TextFile | None:
    sizes = transformers_sizes(header, prefix)
    if sizes is None:
        return None
    activation: Any = hints.get("hidden_act") or ("gelu" if sizes.width >= 1024 else "quick_gelu")
    config = sizes.config(activation, end_token=END_TOKEN, pad_token=END_TOKEN)
    config |= {name: hints[name] for name in ("num_attention_heads", "layer_norm_eps") if hints.get(name) is not None}
    recipe = NetworkRecipe("clip_text", config, transformers_table(sizes, header, prefix))
    return TextFile("clip", recipe, prefix, sizes.width, sizes.layers, "transformers", header, hints)


def _open_clip(header: Header, prefix: str) -> TextFile | None:
    sizes = open_clip_sizes(header, prefix)
    if sizes is None:
        return None
    config = sizes.config("gelu", end_token=END_TOKEN, pad_token=0)
    recipe = NetworkRecipe("clip_text", config, open_clip_table(sizes, prefix))
    return TextFile("clip", recipe, prefix, sizes.width, sizes.layers, "open_clip", header)


def _t5(header: Header, prefix: str) -> TextFile | None:
    sizes = t5_sizes(header, prefix)
    if sizes is None or sizes.biases not in (1, sizes.layers):
        return None
    own = sizes.biases > 1  # every layer has a relative bias
    config = sizes.config() | {"pad_token_id": T5_PAD}
    recipe = NetworkRecipe(UMT5 if own else "transformers:T5EncoderModel:T5Config", config, t5_table(header, prefix))
    return TextFile("umt5" if own else "t5", recipe, prefix, sizes.width, sizes.layers, "transformers", header)


def _decoder(header: Header, prefix: str) -> TextFile | None:
    sizes = decoder_sizes(header, prefix)
    if sizes is None:
        return None
    recipe = NetworkRecipe(ARCHITECTURES[sizes.language], sizes.config(), decoder_table(sizes, header))
    sight = eyes(header, prefix)
    seeing = None if sight is None else NetworkRecipe(EYES, *sight)
    return TextFile("decoder", recipe, sizes.start, sizes.width, sizes.layers, "transformers", header, language=sizes.language, eyes=seeing)
