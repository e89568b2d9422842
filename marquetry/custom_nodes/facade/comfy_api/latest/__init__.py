"""`comfy_api.latest` for packs."""

from __future__ import annotations

from marquetry.custom_nodes.api import ComfyAPI, ComfyAPISync

__all__ = ["ComfyAPI", "ComfyAPISync"]
