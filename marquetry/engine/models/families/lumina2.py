"""Lumina-Image 2.0 (Qin et al. 2025) and its children such as NetaYume: words and pictures in one stream, Gemma 2 as text encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from marquetry.engine.lazy import torch
from marquetry.engine.models.families.family import Found
from marquetry.engine.models.fitting import repeated
from marquetry.engine.models.layout import lumina2
from marquetry.engine.models.layout.table import Piece
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.text.encoder import Encoded
from marquetry.engine.models.text.files import TextFile
from marquetry.engine.models.text.part import TextEncoderPart
from marquetry.engine.models.text.recipe import EncodedPrompt
from marquetry.engine.models.transformer_family import TOKENS, TransformerFamily, padded_to
from marquetry.engine.models.weights import Weights
from marquetry.engine.sampling.latent_format import LatentFormat

if TYPE_CHECKING:
    from torch import Tensor

    from marquetry.engine.models.model import Model
    from marquetry.engine.sampling.model_sampling import ModelSampling

SHIFT = 6.0
PATCH = 2


class OneGemma2:
    """Gemma 2's hidden states before its last layer. What introduces a prompt ("... <Prompt Start> ...") is the prompt's own."""

    types: Mapping[str, frozenset[int]] = {"lumina2": frozenset({1})}

    def assign(self, files: Sequence[TextFile]) -> Mapping[str, tuple[int, TextEncoderPart]] | None:
        return {"gemma2_2b": (0, read(files[0]))} if [file.language for file in files] == ["gemma2"] else None

    def compose(self, encoded: Mapping[str, Encoded]) -> EncodedPrompt:
        (only,) = encoded.values()
        return EncodedPrompt(only.hidden, None, only.missing)


def read(file: TextFile) -> TextEncoderPart:
    """How these models read it."""
    return file.part(layer=1, pad_token=0, vocabulary="own", marked=True)


class Lumina2(TransformerFamily):
    """See the module."""

    id = "lumina2"
    architecture = "diffusers:Lumina2Transformer2DModel"
    latent_format = LatentFormat(channels=16, scale_factor=0.3611, shift_factor=0.1159)
    borrows_autoencoder = True
    text_prefixes: Mapping[str, tuple[str, ...]] = {"gemma2_2b": ("text_encoders.gemma2_2b.transformer.", "text_encoder.")}

    def __init__(self) -> None:
        self.text = OneGemma2()

    def original_sizes(self, header: Header, prefix: str) -> lumina2.Lumina2Sizes | None:
        return lumina2.original_sizes(header, prefix)

    def diffusers_sizes(self, header: Header, prefix: str) -> lumina2.Lumina2Sizes | None:
        return lumina2.diffusers_sizes(header, prefix)

    def original_pieces(self, sizes: lumina2.Lumina2Sizes, header: Header, prefix: str) -> dict[str, Piece]:
        return lumina2.original_table(sizes, header, prefix)

    def read_text(self, file: TextFile, role: str) -> TextEncoderPart:
        return read(file)

    def sampling(self, found: Found, weights: Weights, hints: Mapping[str, Any]) -> ModelSampling:
        from marquetry.engine.sampling.model_sampling import FlowSampling

        return FlowSampling(float(hints.get("scheduler", {}).get("shift", SHIFT)), multiplier=1.0)

    def values(
        self, model: Model, embedding: Tensor, extras: Mapping[str, Any], *, batch: int, latent_shape: tuple[int, ...]
    ) -> dict[str, Any]:
        return {TOKENS: repeated(embedding, batch)}

    def forward(self, model: Model, network: Any, x: Tensor, time: Tensor, values: Mapping[str, Any]) -> Tensor:
        """The network counts time from noise to picture, and points from noise to picture."""
        height, width = x.shape[-2:]
        words = values[TOKENS]
        seen = torch.ones(words.shape[:2], dtype=torch.long, device=words.device)
        output: Tensor = network(padded_to(x, PATCH), 1.0 - time, words, seen, return_dict=False)[0]
        return -output[..., :height, :width]


FAMILY = Lumina2()
