"""A LoRA or kin of it."""

from __future__ import annotations

from marquetry.marketplace.listings.kinds.kind import Kind

KIND = Kind("lora", "LoRA", files="needed", folders=("loras",))
