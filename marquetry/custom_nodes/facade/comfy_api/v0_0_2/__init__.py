"""`comfy_api.v0_0_2` for packs."""

from __future__ import annotations

from marquetry.custom_nodes.api import ComfyAPI, ComfyAPISync
from marquetry.custom_nodes.v3 import io, ui
from marquetry.custom_nodes.v3.node import ComfyExtension

IO, UI = io, ui
__all__ = ["IO", "UI", "ComfyAPI", "ComfyAPISync", "ComfyExtension", "io", "ui"]
