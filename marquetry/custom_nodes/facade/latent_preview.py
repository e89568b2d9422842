"""`latent_preview` for packs: progress of sampling. Pictures of latents come from the engine's own samplers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from marquetry.custom_nodes.progress import ProgressBar

MAX_PREVIEW_RESOLUTION = 512


class LatentPreviewer:
    """Makes a picture of a latent; packs subclass it."""

    def decode_latent_to_preview(self, x0: Any) -> Any:
        raise NotImplementedError("a previewer makes its picture in decode_latent_to_preview")

    def decode_latent_to_preview_image(self, preview_format: str, x0: Any) -> tuple[str, Any, int]:
        return "JPEG", self.decode_latent_to_preview(x0), MAX_PREVIEW_RESOLUTION


class TAESDPreviewerImpl(LatentPreviewer):
    """A previewer with a small decoder."""

    def __init__(self, taesd: Any) -> None:
        self.taesd = taesd

    def decode_latent_to_preview(self, x0: Any) -> Any:
        return preview_to_image(self.taesd.decode(x0[:1])[0].movedim(0, 2))


class Latent2RGBPreviewer(LatentPreviewer):
    """A previewer that mixes channels into colours."""

    def __init__(self, latent_rgb_factors: Any, latent_rgb_factors_bias: Any = None) -> None:
        import torch

        self.latent_rgb_factors = torch.tensor(latent_rgb_factors).T
        self.latent_rgb_factors_bias = None if latent_rgb_factors_bias is None else torch.tensor(latent_rgb_factors_bias)

    def decode_latent_to_preview(self, x0: Any) -> Any:
        import torch

        factors = self.latent_rgb_factors.to(dtype=x0.dtype, device=x0.device)
        bias = self.latent_rgb_factors_bias
        mixed = torch.nn.functional.linear(x0[0].movedim(0, -1), factors, None if bias is None else bias.to(x0))
        return preview_to_image(mixed)


def preview_to_image(latent_image: Any) -> Any:
    """A `[H, W, 3]` tensor in -1..1 as a picture."""
    from PIL import Image

    levels = ((latent_image + 1.0) / 2.0).clamp(0, 1).mul(255).byte()
    return Image.fromarray(levels.cpu().numpy())


def get_previewer(device: Any, latent_format: Any) -> LatentPreviewer | None:
    """A previewer for a latent format that names its colours, else None."""
    factors = getattr(latent_format, "latent_rgb_factors", None)
    return None if factors is None else Latent2RGBPreviewer(factors, getattr(latent_format, "latent_rgb_factors_bias", None))


def prepare_callback(model: Any, steps: int, x0_output_dict: dict[str, Any] | None = None) -> Callable[..., None]:
    """A function that a sampler calls after each step."""
    bar = ProgressBar(steps)

    def callback(step: int, x0: Any, x: Any, total_steps: int) -> None:
        if x0_output_dict is not None:
            x0_output_dict["x0"] = x0
        bar.update_absolute(step + 1, total_steps)

    return callback
