"""AuraFlow (fal 2024): a transformer over pictures and words together, Pile-T5 as text encoder, SDXL's autoencoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from marquetry.engine.models.families.family import Found
from marquetry.engine.models.fitting import repeated
from marquetry.engine.models.layout import aura_flow
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

SHIFT = 1.73
PATCH = 2
TOKENS_AT_LEAST = 256
END, PAD = 2, 1  # of Llama's vocabulary, which Pile-T5 reads


class OnePileT5:
    """Pile-T5's words, zeros in place of the padding, which the network sees."""

    types: Mapping[str, frozenset[int]] = {"stable_diffusion": frozenset({1}), "aura_flow": frozenset({1})}

    def assign(self, files: Sequence[TextFile]) -> Mapping[str, tuple[int, TextEncoderPart]] | None:
        return {"pile_t5xl": (0, read(files[0]))} if [file.kind for file in files] == ["umt5"] else None

    def compose(self, encoded: Mapping[str, Encoded]) -> EncodedPrompt:
        (only,) = encoded.values()
        return EncodedPrompt(only.hidden * only.mask[..., None], None, only.missing)


def read(file: TextFile) -> TextEncoderPart:
    """How these models read it."""
    return file.part(pad_token=PAD, end_token=END, min_tokens=TOKENS_AT_LEAST, masked=True, vocabulary="own")


class AuraFlow(TransformerFamily):
    """See the module."""

    id = "aura_flow"
    architecture = "diffusers:AuraFlowTransformer2DModel"
    latent_format = LatentFormat(channels=4, scale_factor=0.13025)
    borrows_autoencoder = True
    text_prefixes: Mapping[str, tuple[str, ...]] = {"pile_t5xl": ("text_encoders.pile_t5xl.transformer.", "text_encoder.")}

    def __init__(self) -> None:
        self.text = OnePileT5()

    def original_sizes(self, header: Header, prefix: str) -> aura_flow.AuraFlowSizes | None:
        return aura_flow.original_sizes(header, prefix)

    def diffusers_sizes(self, header: Header, prefix: str) -> aura_flow.AuraFlowSizes | None:
        return aura_flow.diffusers_sizes(header, prefix)

    def original_pieces(self, sizes: aura_flow.AuraFlowSizes, header: Header, prefix: str) -> dict[str, Piece]:
        return aura_flow.original_table(sizes, header, prefix)

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
        height, width = x.shape[-2:]
        output: Tensor = network(padded_to(x, PATCH), values[TOKENS], time, return_dict=False)[0]
        return output[..., :height, :width]


FAMILY = AuraFlow()
