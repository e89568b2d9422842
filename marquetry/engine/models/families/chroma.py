"""Chroma (Lodestone Rock 2025): Flux's blocks without pooled words and without guidance as an input; T5 by itself, its padding hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from marquetry.engine.lazy import torch
from marquetry.engine.models.families.family import Found
from marquetry.engine.models.families.flux import GUIDED_SHIFT, LEVELS, PATCH
from marquetry.engine.models.fitting import repeated
from marquetry.engine.models.layout import chroma
from marquetry.engine.models.layout.table import Piece
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.text.encoder import Encoded
from marquetry.engine.models.text.files import TextFile
from marquetry.engine.models.text.part import TextEncoderPart
from marquetry.engine.models.text.recipe import EncodedPrompt
from marquetry.engine.models.text.vocabularies import T5_PAD
from marquetry.engine.models.transformer_family import TOKENS, TransformerFamily, grid, packed, padded_to, unpacked
from marquetry.engine.models.weights import Weights
from marquetry.engine.sampling.control import RESIDUALS
from marquetry.engine.sampling.latent_format import LatentFormat

if TYPE_CHECKING:
    from torch import Tensor

    from marquetry.engine.models.model import Model
    from marquetry.engine.sampling.model_sampling import ModelSampling

SEEN_PADDING = 1  # of the padding, the network was trained to see one token


class MaskedT5:
    """T5's words and one token of padding."""

    types: Mapping[str, frozenset[int]] = {"chroma": frozenset({1})}

    def assign(self, files: Sequence[TextFile]) -> Mapping[str, tuple[int, TextEncoderPart]] | None:
        return {"t5xxl": (0, read(files[0]))} if [file.kind for file in files] == ["t5"] else None

    def compose(self, encoded: Mapping[str, Encoded]) -> EncodedPrompt:
        (only,) = encoded.values()
        seen = int(only.mask.sum()) + SEEN_PADDING
        return EncodedPrompt(only.hidden[:, :seen], None, only.missing)


def read(file: TextFile) -> TextEncoderPart:
    """How these models read it."""
    return file.part(pad_token=T5_PAD, padding=SEEN_PADDING, masked=True)


class Chroma(TransformerFamily):
    """See the module."""

    id = "chroma"
    architecture = "diffusers:ChromaTransformer2DModel"
    latent_format = LatentFormat(channels=16, scale_factor=0.3611, shift_factor=0.1159)
    borrows_autoencoder = True
    text_prefixes: Mapping[str, tuple[str, ...]] = {"t5xxl": ("text_encoders.t5xxl.transformer.", "text_encoder.")}

    def __init__(self) -> None:
        self.text = MaskedT5()

    def original_sizes(self, header: Header, prefix: str) -> chroma.ChromaSizes | None:
        return chroma.original_sizes(header, prefix)

    def diffusers_sizes(self, header: Header, prefix: str) -> chroma.ChromaSizes | None:
        return chroma.diffusers_sizes(header, prefix)

    def original_pieces(self, sizes: chroma.ChromaSizes, header: Header, prefix: str) -> dict[str, Piece]:
        return chroma.original_table(sizes, header, prefix)

    def read_text(self, file: TextFile, role: str) -> TextEncoderPart:
        return read(file)

    def sampling(self, found: Found, weights: Weights, hints: Mapping[str, Any]) -> ModelSampling:
        from marquetry.engine.sampling.model_sampling import FlowSampling

        return FlowSampling(GUIDED_SHIFT, multiplier=1.0, count=LEVELS)

    def values(
        self, model: Model, embedding: Tensor, extras: Mapping[str, Any], *, batch: int, latent_shape: tuple[int, ...]
    ) -> dict[str, Any]:
        return {TOKENS: repeated(embedding, batch)}

    def forward(self, model: Model, network: Any, x: Tensor, time: Tensor, values: Mapping[str, Any]) -> Tensor:
        height, width = x.shape[-2:]
        x = padded_to(x, PATCH)
        rows, columns = x.shape[-2] // PATCH, x.shape[-1] // PATCH
        output = network(
            packed(x),
            encoder_hidden_states=values[TOKENS],
            timestep=time,
            img_ids=grid(rows, columns).to(x),
            txt_ids=torch.zeros(values[TOKENS].shape[1], 3).to(x),
            return_dict=False,
            **values.get(RESIDUALS, {}),
        )[0]
        return unpacked(output, rows * PATCH, columns * PATCH)[..., :height, :width]


FAMILY = Chroma()
