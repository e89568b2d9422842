"""A whole trained model."""

from __future__ import annotations

from marquetry.marketplace.listings.kinds.kind import Kind

KIND = Kind("checkpoint", "checkpoint", files="needed", folders=("checkpoints", "diffusion_models"))
