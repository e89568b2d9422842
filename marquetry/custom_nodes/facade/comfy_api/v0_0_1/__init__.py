"""`comfy_api.v0_0_1` for packs."""

from __future__ import annotations

from marquetry.custom_nodes.api import ComfyAPI, ComfyAPISync

__all__ = ["ComfyAPI", "ComfyAPISync"]
