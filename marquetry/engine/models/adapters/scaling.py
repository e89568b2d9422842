"""Scaling: the factor alpha / rank of low-rank adapters, from tensors or from the metadata that diffusers writes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

METADATA_KEY = "lora_adapter_metadata"  # JSON of PEFT's LoraConfig, keys prefixed with "unet.", "text_encoder.", "transformer."


@dataclass(frozen=True)
class Scaling:
    """PEFT's configuration by part of the pipeline; empty where the file has none, and then a missing alpha means scale 1."""

    configurations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Scaling:
        try:
            written = json.loads(metadata.get(METADATA_KEY, "{}"))
        except ValueError:
            return cls()
        configurations: dict[str, dict[str, Any]] = {}
        for key, value in written.items() if isinstance(written, dict) else ():
            part, separator, option = key.partition(".")
            if separator:
                configurations.setdefault(part, {})[option] = value
        return cls(configurations)

    def of(self, module: str, rank: int, alpha: float | None) -> float:
        """The factor for a module by its published name; `alpha` is what its own tensor says."""
        part, _, path = module.partition(".")
        configuration = self.configurations.get(part)
        if alpha is not None:
            return alpha / rank
        if configuration is None:
            return 1.0
        alpha = _patterned(configuration.get("alpha_pattern"), path, configuration.get("lora_alpha"))
        if alpha is None:
            return 1.0
        return alpha / (sqrt(rank) if configuration.get("use_rslora") is True else rank)


def _patterned(patterns: Any, path: str, default: Any) -> float | None:
    if isinstance(patterns, dict):
        for pattern, value in patterns.items():
            if path == pattern or path.endswith(f".{pattern}") or _matches(pattern, path):
                return float(value)
    return float(default) if isinstance(default, (int, float)) else None


def _matches(pattern: str, path: str) -> bool:
    try:
        return re.fullmatch(rf"(.*\.)?({pattern})", path) is not None
    except re.error:
        return False
