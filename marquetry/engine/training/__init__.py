"""Training of a small latent-diffusion model of the SD1 family from captioned pictures."""
