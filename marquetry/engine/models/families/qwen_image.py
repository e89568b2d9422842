"""Qwen-Image (Wu et al. 2025) and its editing models: a transformer over pictures and words together, a language model as text encoder.

Pictures to edit or to refer to are further tokens (`reference_latents`); the editing models' text encoder sees them too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from marquetry.engine.lazy import torch
from marquetry.engine.models.autoencoders.kinds import CAUSAL
from marquetry.engine.models.families.family import Found
from marquetry.engine.models.fitting import repeated
from marquetry.engine.models.layout import causal_autoencoder
from marquetry.engine.models.layout.qwen_image import QwenImageSizes, qwen_image_sizes, qwen_image_table
from marquetry.engine.models.layout.table import Piece, same_names
from marquetry.engine.models.network import NetworkRecipe
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.text.encoder import Encoded
from marquetry.engine.models.text.files import TextFile
from marquetry.engine.models.text.part import TextEncoderPart
from marquetry.engine.models.text.recipe import EncodedPrompt
from marquetry.engine.models.transformer_family import TOKENS, TransformerFamily, lengthened, packed, padded_to, unpacked
from marquetry.engine.models.weights import Weights
from marquetry.engine.sampling.control import RESIDUALS
from marquetry.engine.sampling.latent_format import LatentFormat

if TYPE_CHECKING:
    from torch import Tensor

    from marquetry.engine.models.model import Model
    from marquetry.engine.sampling.model_sampling import ModelSampling

SHIFT = math.exp(1.15)
LEVELS = 10_000
PATCH = 2
PAD = 151643
REFERENCES = "references"
VAE_PREFIXES = ("first_stage_model.", "vae.", "")
# What the published models were trained with (the Qwen-Image technical report and repository).
SYSTEM = "<|im_start|>system\n{}<|im_end|>\n<|im_start|>user\n{{}}<|im_end|>\n<|im_start|>assistant\n"
TEMPLATE = SYSTEM.format(
    "Describe the image by detailing the color, shape, size, texture, quantity, text, spatial relationships of the objects and background:"
)
EDIT_TEMPLATE = SYSTEM.format(
    "Describe the key features of the input image (color, shape, size, texture, objects, background), then explain how the user's text "
    "instruction should alter or modify the image. Generate a new image that meets the user's requirements while maintaining consistency "
    "with the original input where appropriate."
)
SEEN = "<|vision_start|><|image_pad|><|vision_end|>"
# The statistics of the autoencoder's latents, as published with Wan 2.1 and Qwen-Image.
MEANS = (
    -0.7571,
    -0.7089,
    -0.9113,
    0.1075,
    -0.1745,
    0.9653,
    -0.1517,
    1.5508,
    0.4134,
    -0.0715,
    0.5517,
    -0.3632,
    -0.1922,
    -0.9497,
    0.2503,
    -0.2921,
)
DEVIATIONS = (
    2.8184,
    1.4541,
    2.3275,
    2.6558,
    1.2196,
    1.7708,
    2.6052,
    2.0743,
    3.2687,
    2.1526,
    2.8652,
    1.5579,
    1.6382,
    1.1253,
    2.8251,
    1.9160,
)


class OneLanguageModel:
    """Qwen2.5-VL's language model at its last layer."""

    types: Mapping[str, frozenset[int]] = {"qwen_image": frozenset({1})}

    def assign(self, files: Sequence[TextFile]) -> Mapping[str, tuple[int, TextEncoderPart]] | None:
        if [file.language for file in files] != ["qwen2"]:
            return None
        return {"qwen25_7b": (0, read(files[0]))}

    def compose(self, encoded: Mapping[str, Encoded]) -> EncodedPrompt:
        (only,) = encoded.values()
        return EncodedPrompt(only.hidden, None, only.missing)


def read(file: TextFile) -> TextEncoderPart:
    """How these models read it."""
    return file.part(pad_token=PAD, vocabulary="qwen2", template=TEMPLATE, trimmed=True)


class QwenImage(TransformerFamily):
    """See the module."""

    id = "qwen_image"
    architecture = "diffusers:QwenImageTransformer2DModel"
    latent_format = LatentFormat(channels=16, means=MEANS, deviations=DEVIATIONS)
    text_prefixes: Mapping[str, tuple[str, ...]] = {"qwen25_7b": ("text_encoders.qwen25_7b.transformer.", "text_encoder.")}

    def __init__(self) -> None:
        self.text = OneLanguageModel()

    def original_sizes(self, header: Header, prefix: str) -> QwenImageSizes | None:
        return qwen_image_sizes(header, prefix)

    def diffusers_sizes(self, header: Header, prefix: str) -> None:
        return None  # the same as the original

    def original_pieces(self, sizes: QwenImageSizes, header: Header, prefix: str) -> dict[str, Piece]:
        return qwen_image_table(header, prefix)

    def read_text(self, file: TextFile, role: str) -> TextEncoderPart:
        return read(file)

    def options(self, hints: Mapping[str, Any]) -> dict[str, Any]:
        return {"zero_cond_t": True} if hints.get("zero_cond_t") else {}

    def find_vae(self, header: Header, options: Mapping[str, Any]) -> tuple[NetworkRecipe, str, str] | None:
        return causal_vae(header, self.latent_format.channels)

    def vae_pieces(self, recipe: NetworkRecipe, names: Mapping[str, Any]) -> Mapping[str, Piece]:
        return causal_pieces(recipe)

    def sampling(self, found: Found, weights: Weights, hints: Mapping[str, Any]) -> ModelSampling:
        from marquetry.engine.sampling.model_sampling import FlowSampling

        return FlowSampling(SHIFT, multiplier=1.0, count=LEVELS)

    def values(
        self, model: Model, embedding: Tensor, extras: Mapping[str, Any], *, batch: int, latent_shape: tuple[int, ...]
    ) -> dict[str, Any]:
        made: dict[str, Any] = {TOKENS: repeated(embedding, batch)}
        for number, picture in enumerate(extras.get("reference_latents") or ()):
            made[f"{REFERENCES}.{number}"] = model.latent_format.process_in(repeated(_still(picture), batch))
        return made

    def forward(self, model: Model, network: Any, x: Tensor, time: Tensor, values: Mapping[str, Any]) -> Tensor:
        height, width = x.shape[-2:]
        pictures = [padded_to(x, PATCH)]
        while (key := f"{REFERENCES}.{len(pictures) - 1}") in values:
            pictures.append(padded_to(values[key], PATCH))
        shapes = [(1, picture.shape[-2] // PATCH, picture.shape[-1] // PATCH) for picture in pictures]
        output = network(
            torch.cat([packed(picture) for picture in pictures], dim=1),
            encoder_hidden_states=values[TOKENS],
            timestep=time,
            img_shapes=[shapes] * len(x),
            return_dict=False,
            **lengthened(values.get(RESIDUALS, {}), sum(rows * columns for _, rows, columns in shapes)),
        )[0]
        _, rows, columns = shapes[0]
        return unpacked(output[:, : rows * columns], rows * PATCH, columns * PATCH)[..., :height, :width]


def causal_vae(header: Header, channels: int) -> tuple[NetworkRecipe, str, str] | None:
    """Wan's and Qwen-Image's autoencoder with latents of that many channels, what its names begin with, and its layout."""
    for prefix in VAE_PREFIXES:
        found = causal_autoencoder.causal_sizes(header, prefix)
        if found is not None and found[0].latent_channels == channels:
            sizes, layout = found
            table = causal_autoencoder.original_table(sizes, header, prefix) if layout == "original" else same_names(header, prefix)
            return NetworkRecipe(CAUSAL, sizes.config(), table), prefix, layout
    return None


def causal_pieces(recipe: NetworkRecipe) -> dict[str, Piece]:
    """Where that autoencoder's tensors are written, in the original layout."""
    config = recipe.config
    sizes = causal_autoencoder.CausalSizes(
        config["base_dim"], config["z_dim"], tuple(config["dim_mult"]), config["num_res_blocks"], tuple(config["temperal_downsample"])
    )
    return {
        f"{target}.{part}": Piece(f"first_stage_model.{source}.{part}")
        for target, source in causal_autoencoder.modules(sizes)
        for part in causal_autoencoder.PARTS
    }


def _still(latent: Tensor) -> Tensor:
    """The first frame of a latent [B, C, (T,) h, w]."""
    return latent[:, :, 0] if latent.ndim == 5 else latent


FAMILY = QwenImage()
