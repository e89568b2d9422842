"""Inpainting: a UNet with nine channels in, which also sees what is to be made anew and the picture without it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from marquetry.engine.training.base_model import BaseModel
from marquetry.engine.training.buckets import Bucket, fitted
from marquetry.engine.training.compute import Compute
from marquetry.engine.training.denoising import Noised
from marquetry.engine.training.fine_tune import FineTuneRecipe, FineTuneStage
from marquetry.engine.training.lessons import Batch, Lessons, encode_pictures

INPUTS = 9  # latent 4, mask 1, latent of the masked picture 4
MASKS_PER_PICTURE = 4
GREY = 128
WHOLE_SHARE = 0.15  # of masks that cover everything, so that the model can still make pictures from nothing


class InpaintingStage(FineTuneStage):
    """Fine-tuning with a mask and the rest of the picture beside the noisy latent."""

    def __init__(
        self,
        base: BaseModel,
        lessons: Lessons,
        recipe: FineTuneRecipe,
        seed: int,
        compute: Compute | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        unet = base.unet()
        self.masks = MaskTable(base, lessons, seed, check)
        super().__init__(base, lessons, recipe, seed, compute, unet if base.model.in_channels == INPUTS else widened(unet))

    def predict(self, batch: Batch, noised: Noised) -> Tensor:
        """The UNet's answer to latent, mask and masked latent."""
        beside = self.masks.look_up(batch, noised.timesteps).to(self.compute.device)
        predicted: Tensor = self.unet(torch.cat([noised.noisy, beside], dim=1), noised.timesteps, noised.context).sample
        return predicted


def widened(unet: Any) -> Any:
    """The UNet with room for a mask and a masked latent; it answers as before, since the new weights begin at zero."""
    old = unet.conv_in
    new = nn.Conv2d(INPUTS, old.out_channels, old.kernel_size, padding=old.padding)
    with torch.no_grad():
        new.weight.zero_()
        new.weight[:, : old.in_channels] = old.weight
        new.bias.copy_(old.bias)  # type: ignore[union-attr]
    unet.conv_in = new
    unet.register_to_config(in_channels=INPUTS)
    return unet


class MaskTable:
    """A few masks for each picture, drawn from the seed, with the latents of the pictures that they hide parts of."""

    def __init__(self, base: BaseModel, lessons: Lessons, seed: int, check: Callable[[], None]) -> None:
        self.found: dict[tuple[int, Bucket], Tensor] = {}  # [K, 5, h, w]
        ratio = base.vae.downscale_ratio
        for shape, members in lessons.members.items():
            for index in set(members):
                check()
                draw = random.Random(seed * 1_000_003 + index)
                example = lessons.examples[index]
                picture = fitted(example.picture, shape)
                given = None if example.mask is None else _fitted_mask(example.mask, shape)
                masks = [given if given is not None and number == 0 else drawn_mask(shape, draw) for number in range(MASKS_PER_PICTURE)]
                hidden = [torch.where(mask[..., None] > 0, torch.full_like(picture, GREY), picture) for mask in masks]
                small = torch.stack([shrunk(mask, ratio) for mask in masks])
                self.found[index, Bucket(shape.height // ratio, shape.width // ratio)] = torch.cat(
                    [small, encode_pictures(base, hidden)], dim=1
                )

    def look_up(self, batch: Batch, timesteps: Tensor) -> Tensor:
        """Mask and masked latent `[B, 5, h, w]`; which of a picture's masks it is follows from the time step."""
        shape = Bucket(batch.latents.shape[-2], batch.latents.shape[-1])
        return torch.stack(
            [self.found[index, shape][int(time) % MASKS_PER_PICTURE] for index, time in zip(batch.indexes, timesteps, strict=True)]
        )


def drawn_mask(shape: Bucket, draw: random.Random) -> Tensor:
    """Boxes and thick strokes, 1 where something is to be made anew, `[H, W]`; now and then everything."""
    mask = torch.zeros(shape.height, shape.width)
    if draw.random() < WHOLE_SHARE:
        return mask + 1.0
    for _ in range(draw.randint(1, 2)):
        height, width = (round(draw.uniform(0.2, 0.7) * side) for side in (shape.height, shape.width))
        top, left = draw.randint(0, shape.height - height), draw.randint(0, shape.width - width)
        mask[top : top + height, left : left + width] = 1.0
    rows, columns = torch.meshgrid(torch.arange(shape.height), torch.arange(shape.width), indexing="ij")
    for _ in range(draw.randint(0, 2)):
        angle_rows, angle_columns = draw.uniform(-1.0, 1.0), draw.uniform(-1.0, 1.0)
        offset = draw.uniform(0.0, shape.height) * angle_rows + draw.uniform(0.0, shape.width) * angle_columns
        thick = 0.06 * min(shape.height, shape.width) * max(abs(angle_rows), abs(angle_columns))
        mask[(rows * angle_rows + columns * angle_columns - offset).abs() < thick] = 1.0
    return mask


def shrunk(mask: Tensor, ratio: int) -> Tensor:
    """A mask `[H, W]` as the UNet sees it, `[1, h, w]` of 0 and 1: anew where any pixel of a cell is."""
    return functional.max_pool2d(mask[None].float(), ratio)


def _fitted_mask(mask: Tensor, shape: Bucket) -> Tensor:
    return (fitted(mask[..., None].expand(-1, -1, 3).contiguous(), shape)[..., 0] > 127).float()


def inpainting_recipe(recipe: FineTuneRecipe) -> FineTuneRecipe:
    """The same with captions dropped as often as the published inpainting models did."""
    return replace(recipe, caption_dropout=0.1)
