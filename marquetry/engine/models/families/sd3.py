"""Stable Diffusion 3 and 3.5 (Esser et al. 2024): a transformer over pictures and words together, three text encoders, rectified flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from marquetry.engine.lazy import functional, torch
from marquetry.engine.models.families.family import Found
from marquetry.engine.models.families.sdxl import as_role, clip_roles, joined_clips
from marquetry.engine.models.fitting import repeated
from marquetry.engine.models.layout import mmdit
from marquetry.engine.models.layout.table import Piece
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.text.encoder import Encoded
from marquetry.engine.models.text.files import TextFile
from marquetry.engine.models.text.part import TextEncoderPart
from marquetry.engine.models.text.recipe import EncodedPrompt
from marquetry.engine.models.text.vocabularies import T5_PAD
from marquetry.engine.models.transformer_family import POOLED, TOKENS, TransformerFamily, padded_to
from marquetry.engine.models.weights import Weights
from marquetry.engine.sampling.control import RESIDUALS
from marquetry.engine.sampling.latent_format import LatentFormat

if TYPE_CHECKING:
    from torch import Tensor

    from marquetry.engine.models.model import Model
    from marquetry.engine.sampling.model_sampling import ModelSampling

SHIFT = 3.0
T5_TOKENS = 77
PUBLISHED_WIDTH = 4096  # of T5 XXL, where it is left out
LARGE_POOLED, SMALL_POOLED = 1280, 768
ROLES = ("clip_l", "clip_g", "t5xxl")


class ThreeTextEncoders:
    """CLIP ViT-L, OpenCLIP ViT-bigG and T5, any of which may be left out."""

    types: Mapping[str, frozenset[int]] = {"sd3": frozenset({1, 2, 3})}

    def assign(self, files: Sequence[TextFile]) -> Mapping[str, tuple[int, TextEncoderPart]] | None:
        kinds = [file.kind for file in files]
        roles = clip_roles(files) if "clip" in kinds else {}
        if "t5" in kinds:
            roles["t5xxl"] = kinds.index("t5")
        if len(roles) != len(files):
            return None
        return {role: (roles[role], read(files[roles[role]], role)) for role in ROLES if role in roles}

    def compose(self, encoded: Mapping[str, Encoded]) -> EncodedPrompt:
        parts = []
        t5 = encoded.get("t5xxl")
        width = PUBLISHED_WIDTH if t5 is None else t5.hidden.shape[-1]
        if "clip_l" in encoded or "clip_g" in encoded:
            words, _ = joined_clips(encoded)
            parts.append(functional.pad(words, (0, width - words.shape[-1])))
        if t5 is not None:
            parts.append(t5.hidden)
        pooled = [_pooled(encoded.get(role), size) for role, size in (("clip_l", SMALL_POOLED), ("clip_g", LARGE_POOLED))]
        missing = tuple(dict.fromkeys(name for part in encoded.values() for name in part.missing))
        return EncodedPrompt(torch.cat(parts, dim=1), torch.cat(pooled, dim=-1), missing)


def _pooled(encoded: Encoded | None, width: int) -> Tensor:
    return torch.zeros(1, width) if encoded is None or encoded.pooled is None else encoded.pooled


def read(file: TextFile, role: str) -> TextEncoderPart:
    """How these models read an encoder."""
    if role == "t5xxl":
        return file.part(pad_token=T5_PAD, min_tokens=T5_TOKENS, adapter_part="text_encoder_3")
    return as_role(file, role)


class StableDiffusion3(TransformerFamily):
    """SD 3 medium, 3.5 medium and large, at any size."""

    id = "sd3"
    architecture = "diffusers:SD3Transformer2DModel"
    latent_format = LatentFormat(channels=16, scale_factor=1.5305, shift_factor=0.0609)
    text_prefixes: Mapping[str, tuple[str, ...]] = {
        "clip_l": ("text_encoders.clip_l.transformer.text_model.", "text_encoders.clip_l.transformer.", "text_encoder.text_model.", "text_encoder."),
        "clip_g": ("text_encoders.clip_g.transformer.text_model.", "text_encoders.clip_g.transformer.", "text_encoder_2.text_model.", "text_encoder_2."),
        "t5xxl": ("text_encoders.t5xxl.transformer.", "text_encoder_3."),
    }  # fmt: skip

    def __init__(self) -> None:
        self.text = ThreeTextEncoders()

    def original_sizes(self, header: Header, prefix: str) -> mmdit.MMDiTSizes | None:
        return mmdit.original_sizes(header, prefix)

    def diffusers_sizes(self, header: Header, prefix: str) -> mmdit.MMDiTSizes | None:
        return mmdit.diffusers_sizes(header, prefix)

    def original_pieces(self, sizes: mmdit.MMDiTSizes, header: Header, prefix: str) -> dict[str, Piece]:
        return mmdit.original_table(sizes, header, prefix)

    def read_text(self, file: TextFile, role: str) -> TextEncoderPart:
        return read(file, role)

    def sampling(self, found: Found, weights: Weights, hints: Mapping[str, Any]) -> ModelSampling:
        from marquetry.engine.sampling.model_sampling import FlowSampling

        return FlowSampling(float(hints.get("scheduler", {}).get("shift", SHIFT)))

    def values(
        self, model: Model, embedding: Tensor, extras: Mapping[str, Any], *, batch: int, latent_shape: tuple[int, ...]
    ) -> dict[str, Any]:
        pooled = extras.get("pooled_output")
        pooled = torch.zeros(1, int(model.config["pooled_projection_dim"])) if pooled is None else pooled
        return {TOKENS: repeated(embedding, batch), POOLED: repeated(pooled, batch)}

    def forward(self, model: Model, network: Any, x: Tensor, time: Tensor, values: Mapping[str, Any]) -> Tensor:
        height, width = x.shape[-2:]
        output: Tensor = network(
            padded_to(x, int(model.config["patch_size"])),
            encoder_hidden_states=values[TOKENS],
            pooled_projections=values[POOLED],
            timestep=time,
            return_dict=False,
            **values.get(RESIDUALS, {}),
        )[0]
        return output[..., :height, :width]


FAMILY = StableDiffusion3()
