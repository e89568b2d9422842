"""Any other weights: VAE, text encoder, ControlNet, upscaler, embedding, ..."""

from __future__ import annotations

from marquetry.marketplace.listings.kinds.kind import Kind

FOLDERS = (
    "vae", "text_encoders", "clip_vision", "style_models", "embeddings", "vae_approx", "controlnet", "gligen", "upscale_models",
    "hypernetworks", "photomaker", "model_patches", "audio_encoders", "diffusion_models",
)  # fmt: skip
KIND = Kind("weights", "set of weights", files="needed", folders=FOLDERS)
