"""Stable Diffusion XL (Podell et al. 2023): two text encoders read before their last layer, sizes and crops told to the network; and its refiner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from marquetry.engine.lazy import torch
from marquetry.engine.models.families.family import Found
from marquetry.engine.models.fitting import repeated
from marquetry.engine.models.layout.table import Piece
from marquetry.engine.models.layout.text_encoder import TextEncoderSizes, open_clip_table
from marquetry.engine.models.layout.unet import UNetSizes
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.stable_diffusion import END_TOKEN, StableDiffusion
from marquetry.engine.models.text.encoder import Encoded
from marquetry.engine.models.text.files import TextFile, by_size, text_file
from marquetry.engine.models.text.part import TextEncoderPart
from marquetry.engine.models.text.recipe import EncodedPrompt
from marquetry.engine.models.unclip import UNCLIP, picture_label
from marquetry.engine.sampling.control import RESIDUALS
from marquetry.engine.sampling.latent_format import LatentFormat
from marquetry.engine.sampling.model import CONTEXT

if TYPE_CHECKING:
    from torch import Tensor

    from marquetry.engine.models.model import Model

HEAD_CHANNELS = 64
TIME_WIDTH = 256  # of each number that is told beside the prompt
LARGE_WIDTH = 1024  # encoders of CLIP from this width on are OpenCLIP's
POOLED, SIZES = "pooled", "sizes"
PREFIXES: Mapping[str, tuple[str, ...]] = {
    "clip_l": (
        "conditioner.embedders.0.transformer.text_model.", "conditioner.embedders.0.transformer.", "text_encoder.text_model.",
        "text_encoder.", "text_encoders.clip_l.transformer.text_model.", "text_encoders.clip_l.transformer.",
    ),
    "clip_g": (
        "conditioner.embedders.1.model.", "conditioner.embedders.0.model.", "text_encoder_2.text_model.", "text_encoder_2.",
        "text_encoders.clip_g.transformer.text_model.", "text_encoders.clip_g.transformer.",
    ),
}  # fmt: skip
HINTS = {"clip_l": "text_encoder", "clip_g": "text_encoder_2"}
READ: Mapping[str, Mapping[str, Any]] = {
    "clip_l": {"layer": 1, "final_norm": False, "projected": False, "pad_token": END_TOKEN, "adapter_part": "text_encoder"},
    "clip_g": {"layer": 1, "final_norm": False, "pad_token": 0, "adapter_part": "text_encoder_2"},
}
ORIGINAL = {"clip_l": "conditioner.embedders.0.transformer.text_model.", "clip_g": "conditioner.embedders.1.model."}
BASE_NUMBERS, REFINER_NUMBERS = 6, 5
POSITIVE_SCORE, NEGATIVE_SCORE = 6.0, 2.5  # what the refiner is told of a picture's beauty


def as_role(file: TextFile, role: str) -> TextEncoderPart:
    """An encoder of CLIP's kind as XL and its heirs read it: the large one is OpenCLIP's, whose activation the header can't show."""
    activation = {"clip_l": "quick_gelu", "clip_g": "gelu"}[role]
    recipe = file.recipe
    if "hidden_act" not in file.hints:
        recipe = replace(recipe, config={**recipe.config, "hidden_act": activation})
    reading = dict(READ[role])
    reading["layer"] = min(1, file.layers - 1)
    return TextEncoderPart(recipe, kind="clip", **reading)


def clip_roles(files: Sequence[TextFile]) -> dict[str, int]:
    """Which of the files is CLIP ViT-L and which OpenCLIP ViT-bigG, by size; equal ones in their order."""
    clips = by_size([(number, file) for number, file in enumerate(files) if file.kind == "clip"])
    if len(clips) == 1:
        number, only = clips[0]
        return {"clip_g" if only.width >= LARGE_WIDTH or only.layout == "open_clip" else "clip_l": number}
    return {role: number for role, (number, _) in zip(("clip_l", "clip_g"), clips, strict=False)}


def joined_clips(encoded: Mapping[str, Encoded]) -> tuple[Tensor, Tensor | None]:
    """The words of both encoders side by side `[1, T, D + D']`, the shorter prompt cut off the longer, and the pooled output of the large one."""
    words = [encoded[role].hidden for role in ("clip_l", "clip_g") if role in encoded]
    tokens = min(part.shape[1] for part in words)
    pooled = encoded["clip_g"].pooled if "clip_g" in encoded else None
    return torch.cat([part[:, :tokens] for part in words], dim=-1), pooled


class TwoTextEncoders:
    """CLIP ViT-L and OpenCLIP ViT-bigG; the refiner has only the latter."""

    types: Mapping[str, frozenset[int]] = {"sdxl": frozenset({1, 2})}

    def assign(self, files: Sequence[TextFile]) -> Mapping[str, tuple[int, TextEncoderPart]] | None:
        roles = clip_roles(files)
        if len(roles) != len(files):
            return None
        return {role: (number, as_role(files[number], role)) for role, number in sorted(roles.items(), reverse=True)}

    def compose(self, encoded: Mapping[str, Encoded]) -> EncodedPrompt:
        words, pooled = joined_clips(encoded)
        missing = tuple(dict.fromkeys(name for part in encoded.values() for name in part.missing))
        return EncodedPrompt(words, pooled, missing)


class StableDiffusionXL(StableDiffusion):
    """SDXL 1.0 base and refiner, turbo, lightning and inpainting (9 channels), at any size."""

    id = "sdxl"
    text_role = "clip_g"
    latent_format = LatentFormat(
        channels=4,
        scale_factor=0.13025,
        # Timothy Alexis Vass, "Explaining the SDXL latent space" (huggingface.co/blog), from 0..255 to -1..1.
        rgb_factors=((0.4706, 0.4706, 0.4706), (-0.4706, -0.0392, 0.0784), (0.1961, 0.1176, -0.0392), (-0.549, -0.3922, -0.2745)),
        rgb_bias=(0.1765, 0.098, 0.0196),
    )

    def __init__(self) -> None:
        self.text = TwoTextEncoders()

    def is_denoiser(self, sizes: UNetSizes) -> bool:
        return sizes.vector_width > 0 and not sizes.attention[0]

    def attention_heads(self, sizes: UNetSizes) -> tuple[int, ...]:
        return tuple(max(1, channels // HEAD_CHANNELS) for channels in sizes.channels)

    def unet_options(self, sizes: UNetSizes) -> dict[str, Any]:
        return {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": TIME_WIDTH,
            "projection_class_embeddings_input_dim": sizes.vector_width,
        }

    def text_parts(self, header: Header, hints: Mapping[str, Any]) -> Mapping[str, tuple[TextEncoderPart, str]]:
        parts: dict[str, tuple[TextEncoderPart, str]] = {}
        for role, prefixes in PREFIXES.items():
            file = text_file(header, prefixes, hints.get(HINTS[role]))
            if file is not None and file.prefix not in {prefix for _, prefix in parts.values()}:
                parts[role] = as_role(file, role), file.prefix
        return parts

    def recognise(self, header: Header, hints: Mapping[str, Any]) -> Found | None:
        """An autoencoder by itself, or one CLIP by itself, is left to the families that came first."""
        found = super().recognise(header, hints)
        return found if found is not None and (found.denoiser is not None or len(found.text_encoders) == 2) else None

    def values(
        self, model: Model, embedding: Tensor, extras: Mapping[str, Any], *, batch: int, latent_shape: tuple[int, ...]
    ) -> dict[str, Any]:
        made = super().values(model, embedding, extras, batch=batch, latent_shape=latent_shape)
        numbers, width = self._numbers(model, extras, latent_shape)
        pooled = extras.get("pooled_output")
        pooled = torch.zeros(1, width) if pooled is None else pooled[..., :width]
        if extras.get(UNCLIP):  # Revision: pictures in the place of the pooled words
            pooled = picture_label(extras[UNCLIP], extras["noise"], torch.zeros(1, width), torch.ones(1, width), 0.0)[:, :width]
        return made | {POOLED: repeated(pooled, batch), SIZES: repeated(torch.tensor([numbers], dtype=torch.float64), batch)}

    def forward(self, model: Model, network: Any, x: Tensor, time: Tensor, values: Mapping[str, Any]) -> Tensor:
        if "concat" in values:
            x = torch.cat([x, values["concat"]], dim=1)
        told = {"text_embeds": values[POOLED], "time_ids": values[SIZES].float()}
        output: Tensor = network(
            x, time, encoder_hidden_states=values[CONTEXT], added_cond_kwargs=told, return_dict=False, **values.get(RESIDUALS, {})
        )[0]
        return output

    def text_table(self, found: Found, role: str, names: Mapping[str, Any]) -> dict[str, Piece]:
        prefix = ORIGINAL[role] if "clip_l" in found.text_encoders else ORIGINAL["clip_g"].replace(".1.", ".0.")
        if role == "clip_l":
            return {name: Piece(prefix + name) for name in names if not name.startswith("text_projection")}
        config = found.text_encoders[role].recipe.config
        projection = int(config["projection_dim"]) if "text_projection.weight" in names else 0
        sizes = TextEncoderSizes(
            config["hidden_size"], config["num_hidden_layers"], config["intermediate_size"], config["vocab_size"], 77, projection
        )
        return open_clip_table(sizes, prefix)

    def _numbers(self, model: Model, extras: Mapping[str, Any], latent_shape: tuple[int, ...]) -> tuple[list[float], int]:
        """What is told beside the prompt, in pixels, and the width of the pooled output that is left for it."""
        ratio = self.latent_format.spatial_ratio
        height, width = (extras.get(name) or side * ratio for name, side in zip(("height", "width"), latent_shape[-2:], strict=True))
        numbers = [height, width, extras.get("crop_h", 0), extras.get("crop_w", 0)]
        room, pooled = int(model.config["projection_class_embeddings_input_dim"]), extras.get("pooled_output")
        pooled_width = int(model.config["cross_attention_dim"]) if pooled is None else pooled.shape[-1]
        if room - pooled_width == REFINER_NUMBERS * TIME_WIDTH:
            default = NEGATIVE_SCORE if extras.get("role") == "negative" else POSITIVE_SCORE
            return [*numbers, extras.get("aesthetic_score", default)], pooled_width
        numbers += [extras.get("target_height", height), extras.get("target_width", width)]
        return numbers, room - BASE_NUMBERS * TIME_WIDTH


FAMILY = StableDiffusionXL()
