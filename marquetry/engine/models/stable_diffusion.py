"""What the families of Stable Diffusion have in common: where their files keep denoiser, text encoder and autoencoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from marquetry.engine.lazy import torch
from marquetry.engine.models.families.family import Found
from marquetry.engine.models.fitting import edited_picture, masked_picture, repeated
from marquetry.engine.models.layout import autoencoder, text_encoder, unet
from marquetry.engine.models.layout.table import Piece, table_of_modules
from marquetry.engine.models.network import NetworkRecipe
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.text.encoder import Encoded
from marquetry.engine.models.text.files import TextFile
from marquetry.engine.models.text.part import TextEncoderPart
from marquetry.engine.models.text.recipe import EncodedPrompt, TextRecipe
from marquetry.engine.models.weights import Weights
from marquetry.engine.sampling.control import RESIDUALS
from marquetry.engine.sampling.latent_format import LatentFormat
from marquetry.engine.sampling.model import CONCAT, CONTEXT

if TYPE_CHECKING:
    from torch import Tensor

    from marquetry.engine.models.model import Model
    from marquetry.engine.sampling.model_sampling import ModelSampling, Prediction

END_TOKEN = 49407
LATENT_FORMAT = LatentFormat(
    channels=4,
    scale_factor=0.18215,
    # A linear fit published by Kevin Turner (discuss.huggingface.co, "Decoding latents to RGB without upscaling").
    rgb_factors=((0.298, 0.207, 0.208), (0.187, 0.286, 0.173), (-0.158, 0.189, 0.264), (-0.184, -0.271, -0.473)),
)
UNET_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "unet.", "model.", "")
VAE_PREFIXES = ("first_stage_model.", "vae.", "")
TRANSFORMERS_PREFIXES = (
    "cond_stage_model.transformer.text_model.", "cond_stage_model.transformer.", "text_encoder.text_model.", "text_encoder.",
    "clip_l.transformer.text_model.", "clip_h.transformer.text_model.", "transformer.text_model.", "text_model.", "",
)  # fmt: skip
OPEN_CLIP_PREFIXES = ("cond_stage_model.model.", "conditioner.embedders.0.model.", "text_encoder.model.", "model.", "")
UNET_OPTIONS = ("attention_head_dim", "norm_num_groups", "norm_eps", "act_fn", "upcast_attention", "sample_size")
VAE_OPTIONS = ("norm_num_groups", "act_fn", "sample_size", "scaling_factor")
TEXT_OPTIONS = ("hidden_act", "num_attention_heads", "layer_norm_eps")
PREDICTION_KEYS = ("modelspec.prediction_type", "modelspec.predict_key", "prediction_type")
PREDICTIONS: Mapping[str, Prediction] = {
    "epsilon": "epsilon",
    "eps": "epsilon",
    "v": "v_prediction",
    "v_prediction": "v_prediction",
    "v-prediction": "v_prediction",
    "sample": "sample",
}


PICTURE_CHANNELS = 4  # of the picture to edit


class OneTextEncoder:
    """The words of a single encoder are the context."""

    types: Mapping[str, frozenset[int]] = {"stable_diffusion": frozenset({1})}

    def __init__(self, family: StableDiffusion) -> None:
        self._family = family

    def assign(self, files: Sequence[TextFile]) -> Mapping[str, tuple[int, TextEncoderPart]] | None:
        hints = {"text_encoder": files[0].hints} if files[0].hints else {}
        found = self._family.text_part(files[0].header, hints)
        return None if found is None else {self._family.text_role: (0, found[0])}

    def compose(self, encoded: Mapping[str, Encoded]) -> EncodedPrompt:
        (only,) = encoded.values()
        return EncodedPrompt(only.hidden, only.pooled, only.missing)


class StableDiffusion:
    """A family of Stable Diffusion; the subclasses say what sets them apart."""

    id: str
    text_role: str
    text: TextRecipe
    latent_format = LATENT_FORMAT
    original_text_prefix: str

    def __init__(self) -> None:
        self.text = OneTextEncoder(self)

    def is_denoiser(self, sizes: unet.UNetSizes) -> bool:
        """Whether a UNet of these sizes is of this family."""
        raise NotImplementedError

    def attention_heads(self, sizes: unet.UNetSizes) -> int | tuple[int, ...]:
        """The number of heads, of all levels or of each."""
        raise NotImplementedError

    def unet_options(self, sizes: unet.UNetSizes) -> dict[str, Any]:
        """Further arguments of the network's class."""
        return {}

    def text_parts(self, header: Header, hints: Mapping[str, Any]) -> Mapping[str, tuple[TextEncoderPart, str]]:
        """The text encoders of a checkpoint by role, and what their names begin with."""
        found = self.text_part(header, hints)
        return {} if found is None else {self.text_role: found}

    def text_part(self, header: Header, hints: Mapping[str, Any]) -> tuple[TextEncoderPart, str] | None:
        """The text encoder and what its names begin with."""
        raise NotImplementedError

    def default_prediction(self, found: Found, weights: Weights) -> Prediction:
        """What the denoiser predicts when its file does not say."""
        return "epsilon"

    def recognise(self, header: Header, hints: Mapping[str, Any]) -> Found | None:
        prefixes: dict[str, str] = {}
        layout = "original"
        denoiser: NetworkRecipe | None = None
        for prefix in UNET_PREFIXES:
            sizes, found_layout = unet.original_sizes(header, prefix), "original"
            if sizes is None:
                sizes, found_layout = unet.diffusers_sizes(header, prefix), "diffusers"
            if sizes is not None and self.is_denoiser(sizes):
                denoiser, layout = self._denoiser(sizes, header, prefix, found_layout, hints.get("unet", {})), found_layout
                prefixes["denoiser"] = prefix
                break
        vae = vae_part(header, hints.get("vae", {}), self.latent_format.channels)
        if vae is not None:
            prefixes["vae"] = vae[1]
            layout = layout if denoiser is not None else vae[2]
        texts = self.text_parts(header, hints)
        prefixes |= {role: prefix for role, (_, prefix) in texts.items()}
        if denoiser is None and vae is None and not texts:
            return None
        encoders = {role: part for role, (part, _) in texts.items()}
        return Found(self.id, layout, denoiser, encoders, None if vae is None else vae[0], prefixes)

    def values(
        self, model: Model, embedding: Tensor, extras: Mapping[str, Any], *, batch: int, latent_shape: tuple[int, ...]
    ) -> dict[str, Any]:
        made: dict[str, Any] = {CONTEXT: repeated(embedding, batch)}
        channels, size = model.in_channels - self.latent_format.channels, tuple(latent_shape[-2:])
        if channels == PICTURE_CHANNELS:
            made[CONCAT] = edited_picture(extras, channels, size, batch)
        elif channels:
            made[CONCAT] = torch.cat(masked_picture(model, extras, size, batch), dim=1)
        return made

    def forward(self, model: Model, network: Any, x: Tensor, time: Tensor, values: Mapping[str, Any]) -> Tensor:
        if CONCAT in values:
            x = torch.cat([x, values[CONCAT]], dim=1)
        output: Tensor = network(x, time, encoder_hidden_states=values[CONTEXT], return_dict=False, **values.get(RESIDUALS, {}))[0]
        return output

    def sampling(self, found: Found, weights: Weights, hints: Mapping[str, Any]) -> ModelSampling:
        from marquetry.engine.sampling.model_sampling import DiscreteSampling

        names, prefix = weights.header, found.prefixes.get("denoiser", "")
        scheduler = hints.get("scheduler", {})
        said = next((PREDICTIONS[value] for value in _said(names, scheduler) if value in PREDICTIONS), None)
        if said is None and any(f"{start}v_pred" in names for start in ("", prefix)):
            said = "v_prediction"
        zero_terminal = "ztsnr" in names or scheduler.get("rescale_betas_zero_snr") is True
        return DiscreteSampling.scaled_linear(said or self.default_prediction(found, weights), zero_terminal_snr=zero_terminal)

    def original_table(self, found: Found, part: str, names: Mapping[str, Any]) -> dict[str, Any]:
        if part == "denoiser" and found.denoiser is not None:
            modules = unet.unet_modules(sizes_of(found.denoiser))
            table = {
                f"{target}.{end}": Piece(f"model.diffusion_model.{source}.{end}")
                for target, source in modules
                for end in ("weight", "bias")
            }
        elif part == "vae" and found.vae is not None:
            table = vae_table(found.vae, names)
        else:
            table = self.text_table(found, part, names)
        return {name: piece for name, piece in table.items() if name in names}

    def text_table(self, found: Found, role: str, names: Mapping[str, Any]) -> dict[str, Piece]:
        """Where a text encoder's tensors stand in the original layout."""
        prefix = self.original_text_prefix
        above = prefix.removesuffix("text_model.")
        return {name: Piece(f"{above if name.startswith('text_projection') else prefix}{name}") for name in names}

    def _denoiser(self, sizes: unet.UNetSizes, header: Header, prefix: str, layout: str, options: Mapping[str, Any]) -> NetworkRecipe:
        modules: Iterator[tuple[str, str]] = unet.unet_modules(sizes)
        if layout == "diffusers":
            modules = ((target, target) for target, _ in modules)
        config = sizes.config(self.attention_heads(sizes)) | self.unet_options(sizes) | chosen(options, UNET_OPTIONS)
        return NetworkRecipe("unet", config, table_of_modules(modules, header, prefix))


def transformers_part(
    header: Header, prefix: str, sizes: text_encoder.TextEncoderSizes, activation: Any, options: Mapping[str, Any], *, pad_token: int
) -> TextEncoderPart:
    """The text encoder of these sizes that stands under `prefix` in transformers' layout."""
    config = sizes.config(activation, end_token=END_TOKEN, pad_token=pad_token) | chosen(options, TEXT_OPTIONS)
    table = text_encoder.transformers_table(sizes, header, prefix)
    return TextEncoderPart(NetworkRecipe("clip_text", config, table), pad_token=pad_token)


def transformers_text(header: Header) -> tuple[str, text_encoder.TextEncoderSizes] | None:
    """Where a text encoder in transformers' layout begins, and its sizes."""
    for prefix in TRANSFORMERS_PREFIXES:
        sizes = text_encoder.transformers_sizes(header, prefix)
        if sizes is not None:
            return prefix, sizes
    return None


def chosen(options: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Those of a configuration file's values that a header can't show."""
    return {name: options[name] for name in names if options.get(name) is not None}


def sizes_of(recipe: NetworkRecipe) -> unet.UNetSizes:
    """The sizes that a UNet's recipe was made from."""
    config = recipe.config
    depths = config.get("transformer_layers_per_block", (1,) * len(config["block_out_channels"]))
    return unet.UNetSizes(
        config["in_channels"],
        config["out_channels"],
        tuple(config["block_out_channels"]),
        config["layers_per_block"],
        tuple(depth if kind == "CrossAttnDownBlock2D" else 0 for kind, depth in zip(config["down_block_types"], depths, strict=True)),
        config["cross_attention_dim"],
        config["use_linear_projection"],
        depths[-1],
        config.get("projection_class_embeddings_input_dim", 0),
    )


def spread(weights: Weights, name: str) -> float | None:
    """The standard deviation of a tensor, or None when the file has none of that name."""
    if name not in weights.header:
        return None
    return float(torch.std(weights.tensor(name).float(), unbiased=False))


def vae_table(recipe: NetworkRecipe, names: Mapping[str, Any]) -> dict[str, Piece]:
    """Where an autoencoder's tensors stand in a checkpoint of the original layout."""
    config = recipe.config
    sizes = autoencoder.AutoencoderSizes(
        config["in_channels"], config["latent_channels"], tuple(config["block_out_channels"]), config["layers_per_block"],
        config.get("use_quant_conv", True),
    )  # fmt: skip
    table = autoencoder.original_pieces(sizes, dict(names))
    return {name: replace(piece, source=f"first_stage_model.{piece.source}") for name, piece in table.items()}


def vae_part(header: Header, options: Mapping[str, Any], channels: int) -> tuple[NetworkRecipe, str, str] | None:
    """The autoencoder whose latents have that many channels, what its names begin with, and its layout."""
    for prefix in VAE_PREFIXES:
        sizes, layout = autoencoder.original_sizes(header, prefix), "original"
        table = autoencoder.original_table(sizes, header, prefix) if sizes is not None else {}
        if sizes is None:
            sizes, layout = autoencoder.diffusers_sizes(header, prefix), "diffusers"
            table = autoencoder.diffusers_table(sizes, header, prefix) if sizes is not None else {}
        if sizes is not None and sizes.latent_channels == channels:
            config = sizes.config(LATENT_FORMAT.scale_factor) | chosen(options, VAE_OPTIONS)
            return NetworkRecipe("autoencoder", config, table), prefix, layout
    return None


def _said(header: Header, scheduler: Mapping[str, Any]) -> Iterator[str]:
    for key in PREDICTION_KEYS:
        if key in header.metadata:
            yield header.metadata[key].strip().lower()
    if isinstance(scheduler.get("prediction_type"), str):
        yield scheduler["prediction_type"]
