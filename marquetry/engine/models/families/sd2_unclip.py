"""Stable Diffusion 2.1 unCLIP: told encoded pictures beside the prompt, with noise on them; v prediction. Read from its original checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from marquetry.engine.lazy import torch
from marquetry.engine.models.families.family import Found
from marquetry.engine.models.families.sd2 import StableDiffusion2
from marquetry.engine.models.fitting import repeated
from marquetry.engine.models.layout.table import Piece
from marquetry.engine.models.layout.unet import UNetSizes
from marquetry.engine.models.network import NetworkRecipe
from marquetry.engine.models.safetensors_file import Header
from marquetry.engine.models.unclip import UNCLIP, picture_label
from marquetry.engine.models.weights import Weights
from marquetry.engine.sampling.control import RESIDUALS
from marquetry.engine.sampling.model import CONTEXT

if TYPE_CHECKING:
    from torch import Tensor

    from marquetry.engine.models.model import Model
    from marquetry.engine.sampling.model_sampling import Prediction

LABEL = "label"
STATISTICS = {"picture_mean": "noise_augmentor.data_mean", "picture_deviation": "noise_augmentor.data_std"}
ADDED, LABELLED = "add_embedding.", "class_embedding."  # how XL and unCLIP call the same place


class StableDiffusion2Unclip(StableDiffusion2):
    """See the module."""

    id = "sd2_unclip"

    def is_denoiser(self, sizes: UNetSizes) -> bool:
        return sizes.linear_projection and sizes.vector_width > 0 and sizes.attention[0]

    def unet_options(self, sizes: UNetSizes) -> dict[str, Any]:
        return {"class_embed_type": "projection", "projection_class_embeddings_input_dim": sizes.vector_width}

    def recognise(self, header: Header, hints: Mapping[str, Any]) -> Found | None:
        """Only with a denoiser and what its noise is measured by: what stands beside them is Stable Diffusion 2's."""
        found = super().recognise(header, hints)
        whole = found is not None and found.denoiser is not None and all(name in header for name in STATISTICS.values())
        return found if whole else None

    def default_prediction(self, found: Found, weights: Weights) -> Prediction:
        return "v_prediction"

    def values(
        self, model: Model, embedding: Tensor, extras: Mapping[str, Any], *, batch: int, latent_shape: tuple[int, ...]
    ) -> dict[str, Any]:
        made = super().values(model, embedding, extras, batch=batch, latent_shape=latent_shape)
        label = torch.zeros(1, int(model.config["projection_class_embeddings_input_dim"]))
        if extras.get(UNCLIP):
            with model.resident.use() as network:
                mean, deviation = (getattr(network, name).float().cpu() for name in STATISTICS)
            label = picture_label(extras[UNCLIP], extras["noise"], mean, deviation)
        return made | {LABEL: repeated(label, batch)}

    def forward(self, model: Model, network: Any, x: Tensor, time: Tensor, values: Mapping[str, Any]) -> Tensor:
        output: Tensor = network(
            x, time, encoder_hidden_states=values[CONTEXT], class_labels=values[LABEL], return_dict=False, **values.get(RESIDUALS, {})
        )[0]
        return output

    def original_table(self, found: Found, part: str, names: Mapping[str, Any]) -> dict[str, Any]:
        if part != "denoiser":
            return super().original_table(found, part, names)
        called = {name.replace(LABELLED, ADDED): name for name in names}
        table = {called[name]: piece for name, piece in super().original_table(found, part, called).items()}
        return table | {name: Piece(source) for name, source in STATISTICS.items() if name in names}

    def _denoiser(self, sizes: UNetSizes, header: Header, prefix: str, layout: str, options: Mapping[str, Any]) -> NetworkRecipe:
        recipe = super()._denoiser(sizes, header, prefix, layout, options)
        table = {name.replace(ADDED, LABELLED): piece for name, piece in recipe.table.items()}
        table |= {name: Piece(source) for name, source in STATISTICS.items()}
        return replace(recipe, architecture="marquetry.engine.models.unclip_network:PictureUNet", table=table)


FAMILY = StableDiffusion2Unclip()
