"""Whole checkpoints with a denoiser that was trained further: the base's file in the original layout, its UNet replaced."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from marquetry.engine.models.families.registry import family
from marquetry.engine.models.network import original_state
from marquetry.engine.models.save import checkpoint_state
from marquetry.engine.training.base_model import BaseModel
from marquetry.engine.training.weight_file import write_weights


def write_checkpoint(path: Path, base: BaseModel, unet: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes one file of the trained UNet (by diffusers' names) and the base's text encoder and autoencoder, in half precision."""
    found = base.model.found
    table = family(base.model.family).original_table(found, "denoiser", unet)
    assert len(table) == len(unet), "tensors without a place in the original layout"
    state = checkpoint_state(clip=base.clip, vae=base.vae) | original_state(table, unet)
    facts = {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": base.architecture,
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.prediction_type": "v" if base.prediction == "v_prediction" else "epsilon",
        "marquetry.base": base.name,
        "marquetry.base_hash": base.hash,
    }
    write_weights(path, state, facts | dict(metadata), torch.float16)
