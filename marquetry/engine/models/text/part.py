"""TextEncoderPart: one text encoder as a file holds it and as its family reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from marquetry.engine.models.network import NetworkRecipe

Kind: TypeAlias = Literal["clip", "t5", "umt5", "decoder"]
Vocabulary: TypeAlias = Literal["", "qwen2", "own"]
AdapterPart: TypeAlias = Literal["text_encoder", "text_encoder_2", "text_encoder_3"]


@dataclass(frozen=True)
class TextEncoderPart:
    """`layer` is the one whose output is used: 0 the last, 1 the one before, ...; `final_norm` whether the norm at the end is applied to it.

    `absent_layers` counts layers that the published encoder has after the file's last one; prompts end in at least `padding` `pad_token`s and are
    filled up to `min_tokens`.
    `projected`: pooled outputs go through the file's projection, where it has one. `masked`: padding is hidden from the words.
    `adapter_part` is what adapters call this encoder.

    Of decoder language models: `template` stands around the words, at "{}", and what is before them is left out where `trimmed`; `marked`:
    the tokenizer adds its own marks; `vocabulary` is one that ships here or the file's `own`; `eyes` encode pictures among the words.
    """

    recipe: NetworkRecipe
    kind: Kind = "clip"
    layer: int = 0
    absent_layers: int = 0
    pad_token: int = 49407
    end_token: int = 1  # of T5 and UMT5
    final_norm: bool = True
    projected: bool = True
    min_tokens: int = 0
    padding: int = 0
    masked: bool = False
    adapter_part: AdapterPart = "text_encoder"
    template: str = "{}"
    trimmed: bool = False
    marked: bool = False
    vocabulary: Vocabulary = ""
    eyes: NetworkRecipe | None = None
    prefix: str = ""  # what its names begin with in the file

    @property
    def width(self) -> int:
        """The size of a token's embedding."""
        return int(self.recipe.config["hidden_size" if "hidden_size" in self.recipe.config else "d_model"])
