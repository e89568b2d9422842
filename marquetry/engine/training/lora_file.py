"""LoRA files in kohya's format: tensors by kohya's names and `ss_*` metadata, so that every loader of LoRAs reads them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save
from torch import Tensor

from marquetry.engine.training.weight_file import write_weights

if TYPE_CHECKING:
    from marquetry.engine.training.base_model import BaseModel
    from marquetry.engine.training.dataset import Dataset
    from marquetry.engine.training.lora import LoraRecipe

PREFIXES: Mapping[str, str] = {"unet": "lora_unet_", "text_encoder": "lora_te_"}
TAGS_MAX = 500


@dataclass(frozen=True, eq=False)
class Change:
    """The factors of one module's change."""

    down: Tensor
    up: Tensor
    alpha: Tensor


def tensors_of(changes: Mapping[str, Mapping[str, Change]], dtype: torch.dtype = torch.float16) -> dict[str, Tensor]:
    """Kohya's names to tensors."""
    named: dict[str, Tensor] = {}
    for network, modules in changes.items():
        for path, change in modules.items():
            full = path if network == "unet" or path.startswith("text_model.") else f"text_model.{path}"
            name = PREFIXES[network] + full.replace(".", "_")
            named[f"{name}.lora_down.weight"] = change.down.to(dtype).contiguous()
            named[f"{name}.lora_up.weight"] = change.up.to(dtype).contiguous()
            named[f"{name}.alpha"] = change.alpha.to(dtype)
    return dict(sorted(named.items()))


def write_lora(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes the file whole or not at all; equal contents give equal files."""
    write_weights(path, tensors, dict(metadata) | tensor_hashes(tensors), dtype=None)


def lora_metadata(
    base: BaseModel, dataset: Dataset, recipe: LoraRecipe, *, name: str, resolution: int, seed: int, steps: int
) -> dict[str, str]:
    """What is published beside the tensors: what was trained on what, and how."""
    stage, sizes = recipe.stage, recipe.sizes
    arguments: dict[str, Any] = {}
    if recipe.targets != "attention":
        arguments = {"conv_dim": str(sizes.conv_rank), "conv_alpha": str(sizes.conv_alpha)}
    if sizes.dropout:
        arguments["dropout"] = str(sizes.dropout)
    facts: dict[str, Any] = {
        "ss_output_name": name,
        "ss_network_module": "networks.lora",
        "ss_network_dim": sizes.rank,
        "ss_network_alpha": sizes.alpha,
        "ss_network_args": json.dumps(arguments),
        "ss_base_model_version": base.base_version,
        "ss_v2": base.model.family == "sd2",
        "ss_sd_model_name": base.name,
        "ss_new_sd_model_hash": base.hash,
        "ss_sd_model_hash": base.hash[:10],
        "ss_num_train_images": sum(example.weight for example in dataset.examples),
        "ss_num_reg_images": 0,
        "ss_num_epochs": max(1, round(steps * stage.batch * stage.accumulation / max(1, len(dataset)))),
        "ss_batch_size_per_device": stage.batch,
        "ss_total_batch_size": stage.batch * stage.accumulation,
        "ss_gradient_accumulation_steps": stage.accumulation,
        "ss_gradient_checkpointing": stage.checkpointing,
        "ss_max_train_steps": stage.steps,
        "ss_steps": steps,
        "ss_learning_rate": stage.learning_rate,
        "ss_unet_lr": stage.learning_rate,
        "ss_text_encoder_lr": stage.learning_rate * recipe.text_rate,
        "ss_lr_scheduler": stage.schedule,
        "ss_lr_warmup_steps": stage.warmup_steps,
        "ss_optimizer": stage.optimiser,
        "ss_max_grad_norm": stage.gradient_norm_max,
        "ss_mixed_precision": {"bfloat16": "bf16", "float16": "fp16"}.get(stage.precision or "", "no"),
        "ss_seed": seed,
        "ss_resolution": f"({resolution}, {resolution})",
        "ss_enable_bucket": True,
        "ss_caption_dropout_rate": recipe.caption_dropout,
        "ss_min_snr_gamma": recipe.objective.min_snr_gamma,
        "ss_noise_offset": recipe.objective.noise_offset,
        "ss_tag_frequency": json.dumps({name: tag_frequency(dataset)}),
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{base.architecture}/lora",
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.title": name,
        "modelspec.resolution": f"{resolution}x{resolution}",
        "modelspec.prediction_type": "v" if base.prediction == "v_prediction" else "epsilon",
        "modelspec.trigger_phrase": dataset.trigger,
        "modelspec.usage_hint": f"Begin the prompt with '{dataset.trigger}'." if dataset.trigger else "",
    }
    return {key: str(value) for key, value in facts.items() if value != ""}


def tag_frequency(dataset: Dataset) -> dict[str, int]:
    """How often each comma-separated part of the captions comes up, the most frequent first."""
    counted = Counter(
        tag.strip()
        for example in dataset.examples
        for caption in example.captions
        for tag in dataset.worded(caption).split(",")
        if tag.strip()
    )
    return dict(counted.most_common(TAGS_MAX))


def tensor_hashes(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """The hash of the tensors without the header, by which published LoRAs are known; the short form is its beginning."""
    file = save(dict(sorted(tensors.items())))
    start = 8 + int.from_bytes(file[:8], "little")
    digest = hashlib.sha256(file[start:]).hexdigest()
    return {"sshs_model_hash": digest, "sshs_legacy_hash": digest[:8]}
