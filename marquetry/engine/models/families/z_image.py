"""Z-Image (Cai et al. 2025): one stream of tokens of words and pictures, Qwen3 as text encoder, Flux's autoencoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from marquetry.engine.lazy import torch
from marquetry.engine.models.families.family import Found
from marquetry.engine.models.fitting import repeated
from marquetry.engine.models.layout import z_image
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

SHIFT = 3.0
PATCH = 2
PAD = 151643
TEMPLATE = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"


class OneQwen3:
    """Qwen3's hidden states before its last layer, the whole of the template with them."""

    types: Mapping[str, frozenset[int]] = {"lumina2": frozenset({1}), "z_image": frozenset({1})}  # lumina2: as the published graphs say

    def assign(self, files: Sequence[TextFile]) -> Mapping[str, tuple[int, TextEncoderPart]] | None:
        if [file.language for file in files] != ["qwen3"]:
            return None
        return {"qwen3_4b": (0, read(files[0]))}

    def compose(self, encoded: Mapping[str, Encoded]) -> EncodedPrompt:
        (only,) = encoded.values()
        return EncodedPrompt(only.hidden, None, only.missing)


def read(file: TextFile) -> TextEncoderPart:
    """How these models read it."""
    return file.part(layer=1, pad_token=PAD, vocabulary="qwen2", template=TEMPLATE)


class ZImage(TransformerFamily):
    """See the module."""

    id = "z_image"
    architecture = "diffusers:ZImageTransformer2DModel"
    latent_format = LatentFormat(channels=16, scale_factor=0.3611, shift_factor=0.1159)
    borrows_autoencoder = True
    text_prefixes: Mapping[str, tuple[str, ...]] = {"qwen3_4b": ("text_encoders.qwen3_4b.transformer.", "text_encoder.")}

    def __init__(self) -> None:
        self.text = OneQwen3()

    def original_sizes(self, header: Header, prefix: str) -> z_image.ZImageSizes | None:
        return z_image.original_sizes(header, prefix)

    def diffusers_sizes(self, header: Header, prefix: str) -> z_image.ZImageSizes | None:
        return z_image.diffusers_sizes(header, prefix)

    def original_pieces(self, sizes: z_image.ZImageSizes, header: Header, prefix: str) -> dict[str, Piece]:
        return z_image.original_table(header, prefix)

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
        pictures = padded_to(x, PATCH)[:, :, None]
        output = network(list(pictures.unbind()), 1.0 - time, list(values[TOKENS].unbind()), return_dict=False)[0]
        return -torch.stack(list(output))[:, :, 0, :height, :width]


FAMILY = ZImage()
