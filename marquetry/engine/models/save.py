"""Saving: models as safetensors in the original layout, adapters merged in, so that every other product reads them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marquetry.engine.lazy import torch
from marquetry.engine.models.clip import Clip
from marquetry.engine.models.families.registry import family
from marquetry.engine.models.model import Model
from marquetry.engine.models.network import original_state
from marquetry.engine.models.vae import Vae

if TYPE_CHECKING:
    from torch import Tensor, nn

    from marquetry.engine.models.adapters.adapter import AppliedAdapter
    from marquetry.engine.models.families.family import Found
    from marquetry.engine.models.residency import Resident

ARCHITECTURES: Mapping[str, str] = {"sd1": "stable-diffusion-v1", "sd2": "stable-diffusion-v2"}
MODELSPEC_VERSION = "1.0.0"


def checkpoint_state(*, model: Model | None = None, clip: Clip | None = None, vae: Vae | None = None) -> dict[str, Tensor]:
    """The tensors of a checkpoint in the original layout, of the parts that are given; each part by its own family's names."""
    state: dict[str, Tensor] = {}
    for part, held in (("denoiser", model), ("vae", vae)):
        if held is not None:
            state |= _original(held.family, held.found, part, held.resident, getattr(held, "adapters", ()))
    for role, encoder in ({} if clip is None else clip.encoders).items():
        assert clip is not None
        state |= _original(clip.family, clip.found, role, encoder.resident, encoder.adapters)
    return state


def metadata_of(model: Model | None, prompt: Mapping[str, Any] | None, extra: Mapping[str, Any]) -> dict[str, str]:
    """The free-form metadata of a saved file: what it is (the ModelSpec standard) and the graph that made it."""
    metadata = {"format": "pt"}
    if model is not None:
        metadata["modelspec.sai_model_spec"] = MODELSPEC_VERSION
        metadata["modelspec.implementation"] = "sgm"
        metadata["modelspec.architecture"] = ARCHITECTURES.get(model.family, model.family)
        metadata["modelspec.prediction_type"] = "v" if model.sampling.prediction == "v_prediction" else model.sampling.prediction
    if prompt is not None:
        metadata["prompt"] = json.dumps(prompt)
    return metadata | {name: json.dumps(value) for name, value in extra.items()}


def save_safetensors(state: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write a file so that it is there whole or not at all."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        save_file({name: tensor.detach().cpu() for name, tensor in state.items()}, partial, metadata=dict(metadata))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _original(id: str, found: Found, part: str, resident: Resident[Any], adapters: Sequence[AppliedAdapter]) -> dict[str, Tensor]:
    with resident.use() as network:
        merged = merged_state(network, adapters)
    return original_state(family(id).original_table(found, part, merged), merged)


def merged_state(network: nn.Module, adapters: Sequence[AppliedAdapter]) -> dict[str, Tensor]:
    """The network's tensors with the adapters' changes written into copies."""
    state = dict(network.state_dict())
    for applied in adapters:
        for path, delta in applied.targets.items():
            name = f"{path}.weight"
            base = network.get_submodule(path).weight
            assert isinstance(base, torch.Tensor)
            change = delta.explicit(base.float()).to(base.device)
            state[name] = (state[name].float() + applied.strength * change.reshape(base.shape)).to(base.dtype)
    return state
