"""ComfyUI's routes and messages, as its clients know them; each route stands below `/api` and at the root."""

from __future__ import annotations

PREFIXES = ("/api", "")
