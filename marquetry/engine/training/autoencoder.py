"""Stage one: the autoencoder learns to draw pictures back from latents an eighth of their size."""

from __future__ import annotations

import math

import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor
from torch.nn import functional

from marquetry.engine.training.compute import Compute
from marquetry.engine.training.networks import LATENT_SCALE, PIXELS_PER_LATENT, Network
from marquetry.engine.training.recipe import StageRecipe
from marquetry.engine.training.stage import Draws, Stage

PYRAMID_LEVELS = 4
ANCHOR_GAIN = 2.0
ANCHOR_SHARE = 0.25
ANCHOR_WEIGHT = 0.5
CERTAIN_LOG_VARIANCE = -6.0
DIVERGENCE_WEIGHT = 3e-4
ENCODING_BATCH = 64
WHOLE_SHARE = 0.1


def as_input(pictures: Tensor) -> Tensor:
    """Bytes `[B, H, W, 3]` to floats `[B, 3, H, W]` in -1..1."""
    return pictures.permute(0, 3, 1, 2).float() / 127.5 - 1.0


def pyramid_error(error: Tensor) -> Tensor:
    """Squared and absolute error, averaged over the picture at full size and shrunk to a half, a quarter and an eighth.

    The shrunk ones teach colours long before shapes are right.
    """
    total = torch.zeros(())
    for level in range(PYRAMID_LEVELS):
        if level:
            error = functional.avg_pool2d(error, 2)
        total = total + 2.0 * error.square().mean() + 0.25 * error.abs().mean()
    return total / PYRAMID_LEVELS


class AutoencoderStage(Stage):
    """The pyramid error, with a weak pull of the latents towards a normal distribution.

    At first three latent channels are also held to a thumbnail of the picture, so that colour has its way through at once.
    With `crop`, all but the last tenth of the steps look at squares of that side cut from the pictures: a quarter of the area
    takes a quarter of the time, and convolutions learn the same from it.
    """

    def __init__(
        self, autoencoder: Network, pictures: Tensor, recipe: StageRecipe, seed: int, compute: Compute | None = None, crop: int = 0
    ) -> None:
        _begin_certain(autoencoder)
        compute = compute or Compute(precision=recipe.precision or "bfloat16")
        super().__init__(autoencoder.to(memory_format=torch.channels_last), recipe, seed, compute)
        self.autoencoder = autoencoder
        self.pictures = pictures  # uint8 [N, H, W, 3]
        self.crop = crop

    def loss(self, draws: Draws) -> Tensor:
        """See the class."""
        chosen = torch.randint(len(self.pictures), (self.recipe.batch,), generator=draws.tensors)
        truth = as_input(self._cropped(self.pictures[chosen], draws)).to(self.compute.device)
        with self.compute.autocast():
            moments = self.autoencoder.encode(truth).latent_dist.parameters
            posterior = DiagonalGaussianDistribution(moments.float())
            drawn = self.autoencoder.decode(posterior.sample(generator=draws.tensors)).sample.float()
        divergence = 0.5 * (posterior.mean.square() + posterior.var - 1.0 - posterior.logvar).mean()
        thumbnail = ANCHOR_GAIN * functional.avg_pool2d(truth, PIXELS_PER_LATENT)
        anchor = (posterior.mean[:, :3] - thumbnail).square().mean()
        held = max(0.0, 1.0 - self.step / (ANCHOR_SHARE * self.steps))
        return pyramid_error(drawn - truth) + DIVERGENCE_WEIGHT * divergence + held * ANCHOR_WEIGHT * anchor

    def _cropped(self, pictures: Tensor, draws: Draws) -> Tensor:
        if not self.crop or self.step >= (1.0 - WHOLE_SHARE) * self.steps:
            return pictures
        rows, columns = (side - self.crop for side in pictures.shape[1:3])
        tops = [draws.words.randint(0, rows) for _ in pictures]
        lefts = [draws.words.randint(0, columns) for _ in pictures]
        return torch.stack([
            picture[top : top + self.crop, left : left + self.crop] for picture, top, left in zip(pictures, tops, lefts, strict=True)
        ])  # fmt: skip


@torch.no_grad()
def _begin_certain(autoencoder: Network) -> None:
    """Starts with almost no noise on the latents, which would hide all that a fresh encoder has to say."""
    channels = autoencoder.quant_conv.out_channels // 2
    autoencoder.quant_conv.weight[channels:] = 0.0
    autoencoder.quant_conv.bias[channels:] = CERTAIN_LOG_VARIANCE


@torch.no_grad()
def encode_all(autoencoder: Network, pictures: Tensor) -> Tensor:
    """The mean latents of all pictures, `[N, 4, h, w]`, times the latent scale of SD1."""
    device = autoencoder.quant_conv.weight.device
    parts = [autoencoder.encode(as_input(part).to(device)).latent_dist.mean.cpu() for part in torch.split(pictures, ENCODING_BATCH)]
    return torch.cat(parts).contiguous() * LATENT_SCALE


@torch.no_grad()
def normalise_latents(autoencoder: Network, pictures: Tensor) -> None:
    """Rescales the latent space so that latents times SD1's scale have mean 0 and deviation 1 in each channel.

    The change is folded into the 1x1 convolutions on either side of the latents; pictures decode as before.
    """
    latents = (encode_all(autoencoder, pictures) / LATENT_SCALE).to(autoencoder.quant_conv.weight.device)
    mean = latents.mean(dim=(0, 2, 3))
    gain = 1.0 / (LATENT_SCALE * latents.std(dim=(0, 2, 3)))
    channels = len(mean)
    before, after = autoencoder.quant_conv, autoencoder.post_quant_conv
    before.weight[:channels] *= gain[:, None, None, None]
    before.bias[:channels] = (before.bias[:channels] - mean) * gain
    before.bias[channels:] += 2.0 * torch.log(gain)
    after.bias += (after.weight[:, :, 0, 0] * mean).sum(dim=1)
    after.weight /= gain[None, :, None, None]


def peak_signal_to_noise(autoencoder: Network, pictures: Tensor) -> float:
    """How well pictures survive the way through the latents, in decibels."""
    device = autoencoder.quant_conv.weight.device
    total = 0.0
    with torch.no_grad():
        for part in torch.split(pictures, ENCODING_BATCH):
            truth = as_input(part).to(device)
            drawn = autoencoder.decode(autoencoder.encode(truth).latent_dist.mean).sample.clamp(-1.0, 1.0)
            total += (drawn - truth).square().mean().item() * len(part)
    return 10.0 * math.log10(4.0 * len(pictures) / total)
