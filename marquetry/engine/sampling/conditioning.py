"""Prompts: the entries of a CONDITIONING, resolved against one latent: where, when and how strongly each of them speaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from marquetry.engine.lazy import functional, torch
from marquetry.engine.sampling.control import Preparing, controlled_alike
from marquetry.engine.sampling.model import DiffusionModel
from marquetry.engine.sampling.model_sampling import ModelSampling

if TYPE_CHECKING:
    from torch import Tensor

Area = tuple[int, ...]
"""Sizes, then offsets, of a box in latent pixels: (height, width, y, x)."""

FEATHER = 8  # latent pixels over which an area fades at edges that are not the picture's
SMALLEST_BOUNDS = 8


@dataclass(frozen=True, eq=False)
class Prompt:
    """One entry. `values` are the model's keyword tensors for it, with the latent's batch as leading dimension."""

    embedding: Tensor
    extras: Mapping[str, Any]
    area: Area | None = None
    mask: Tensor | None = None  # [1 or B, h, w], already times its strength
    strength: float = 1.0
    sigma_start: float | None = None  # silent above this level
    sigma_end: float | None = None  # silent below this level
    values: Mapping[str, Any] = field(default_factory=dict)

    def active(self, sigma: float) -> bool:
        """Whether it speaks at that level."""
        return not ((self.sigma_start is not None and sigma > self.sigma_start) or (self.sigma_end is not None and sigma < self.sigma_end))

    def cut(self, x: Tensor) -> Tensor:
        """The part of `x` [B, ..., h, w] in its area; a view."""
        if self.area is None:
            return x
        dims = len(self.area) // 2
        first = x.ndim - dims
        for index in range(dims):
            x = x.narrow(first + index, self.area[dims + index], self.area[index])
        return x

    def weight(self, x: Tensor) -> Tensor:
        """How strongly it speaks at each place of its area, `[1 or B, 1, h, w]`, given the whole latent `x`."""
        if self.mask is not None:
            return self.cut(self.mask.to(x)).unsqueeze(1) * self.strength
        weight = torch.full((1, 1, *x.shape[2:]), self.strength, dtype=x.dtype, device=x.device)
        if self.area is None:
            return weight
        weight = self.cut(weight).clone()
        dims = len(self.area) // 2
        for index in range(dims):
            size, offset, whole = self.area[index], self.area[dims + index], x.shape[2 + index]
            fade = min(FEATHER, size // 4)
            for distance in range(fade):
                share = (distance + 1) / fade
                if offset != 0:
                    weight.narrow(2 + index, distance, 1).mul_(share)
                if offset + size < whole:
                    weight.narrow(2 + index, size - 1 - distance, 1).mul_(share)
        return weight


def resolve(conditioning: Sequence[Sequence[Any]], sampling: ModelSampling, latent: Tensor) -> list[Prompt]:
    """The prompts of a CONDITIONING for `latent` [B, C, h, w]: areas in latent pixels, masks of its size, percentages as levels."""
    prompts = []
    for embedding, extras in conditioning:
        dims = tuple(latent.shape[2:])
        area = _pixels(extras.get("area"), dims)
        mask = extras.get("mask")
        if mask is not None:
            mask = _fitted(mask.to(latent.device, torch.float32), dims)
            if extras.get("set_area_to_bounds", False):
                area = _bounds(mask)
            mask = _batched(mask, latent.shape[0]) * float(extras.get("mask_strength", 1.0))
        prompts.append(
            Prompt(
                embedding=embedding,
                extras=extras,
                area=area,
                mask=mask,
                strength=float(extras.get("strength", 1.0)),
                sigma_start=_level(sampling, extras.get("start_percent")),
                sigma_end=_level(sampling, extras.get("end_percent")),
            )
        )
    return prompts


def prepare(
    model: DiffusionModel,
    conditionings: Mapping[str, Sequence[Sequence[Any]]],
    latent: Tensor,
    noise: Tensor,
    denoise_mask: Tensor | None = None,
) -> dict[str, list[Prompt]]:
    """Prompts by role ("positive", "negative", ...) with the model's values, for `latent` and `noise` [B, C, h, w] on its device.

    Every role gets a prompt for each area of the others, so that what is compared within an area was seen in that area.
    """
    if "positive" in conditionings and "negative" in conditionings:
        negative = controlled_alike(conditionings["positive"], conditionings["negative"])
        conditionings = {**conditionings, "negative": negative}
    roles = {role: resolve(conditioning, model.sampling, latent) for role, conditioning in conditionings.items()}
    for role, prompts in roles.items():
        for other, counterparts in roles.items():
            if other != role:
                counterparts.extend(_partners(prompts, counterparts))
    given = {"noise": noise, "latent_image": latent, "denoise_mask": denoise_mask}
    controlled = Preparing(model, latent)

    def valued(prompt: Prompt, role: str) -> Prompt:
        extras = controlled(prompt.extras) | given | {"role": role}
        return replace(prompt, values=model.conditioning(prompt.embedding, extras, batch=latent.shape[0], latent_shape=tuple(latent.shape)))

    return {role: [valued(prompt, role) for prompt in prompts] for role, prompts in roles.items()}


def _partners(prompts: Sequence[Prompt], others: Sequence[Prompt]) -> list[Prompt]:
    """For each area in `prompts` that `others` don't have, the one of them that encloses it most closely, at its place and time."""
    added: list[Prompt] = []
    for prompt in prompts:
        if prompt.area is None:
            continue
        enclosing = [other for other in (*others, *added) if other.area is None or _encloses(other.area, prompt.area)]
        if not enclosing:
            continue
        nearest = min(enclosing, key=lambda other: float("inf") if other.area is None else _content(other.area))
        if nearest.area != prompt.area:
            added.append(replace(prompt, embedding=nearest.embedding, extras=nearest.extras))
    return added


def _encloses(outer: Area, inner: Area) -> bool:
    dims = len(inner) // 2
    return all(
        outer[dims + index] <= inner[dims + index] and outer[dims + index] + outer[index] >= inner[dims + index] + inner[index]
        for index in range(dims)
    )


def _content(area: Area) -> int:
    content = 1
    for size in area[: len(area) // 2]:
        content *= size
    return content


def _pixels(area: Sequence[Any] | None, dims: tuple[int, ...]) -> Area | None:
    """An area in whole latent pixels that lies inside the latent; shares of it are marked by a leading "percentage"."""
    if area is None:
        return None
    count = len(dims)
    if area[0] == "percentage":
        shares = area[1:]
        sizes = [max(1, round(shares[index] * dims[index])) for index in range(count)]
        offsets = [round(shares[count + index] * dims[index]) for index in range(count)]
    else:
        sizes, offsets = [int(size) for size in area[:count]], [int(offset) for offset in area[count:]]
    offsets = [min(offset, whole - 1) for offset, whole in zip(offsets, dims, strict=True)]
    sizes = [min(size, whole - offset) for size, offset, whole in zip(sizes, offsets, dims, strict=True)]
    return (*sizes, *offsets)


def _fitted(mask: Tensor, dims: tuple[int, ...]) -> Tensor:
    """A mask [h', w'] or [B, h', w'] as [B, h, w]; bilinear."""
    if mask.ndim == len(dims):
        mask = mask.unsqueeze(0)
    if tuple(mask.shape[1:]) == dims:
        return mask
    if len(dims) == 3 and mask.ndim == 3:  # one picture's mask for every frame
        flat = functional.interpolate(mask.unsqueeze(1), size=dims[1:], mode="bilinear")
        return flat.expand(-1, dims[0], -1, -1)
    return functional.interpolate(mask.unsqueeze(1), size=dims, mode="bilinear" if len(dims) == 2 else "trilinear").squeeze(1)


def _batched(values: Tensor, batch: int) -> Tensor:
    """`values` cut or repeated to `batch` along the first dimension, unless it broadcasts."""
    if values.shape[0] in (1, batch):
        return values
    return values.repeat((-(-batch // values.shape[0]),) + (1,) * (values.ndim - 1))[:batch]


def _bounds(mask: Tensor) -> Area:
    """The smallest box around all that a mask [B, h, w] marks, at least 8 x 8 where the latent is that large."""
    marked = mask.abs().amax(dim=0) > 0
    places = marked.nonzero()
    dims = marked.shape
    if places.shape[0] == 0:
        return (*(min(SMALLEST_BOUNDS, whole) for whole in dims), *(0 for _ in dims))
    low, high = places.amin(dim=0).tolist(), places.amax(dim=0).tolist()
    sizes = [min(max(SMALLEST_BOUNDS, last - first + 1), whole) for first, last, whole in zip(low, high, dims, strict=True)]
    offsets = [min(first, whole - size) for first, size, whole in zip(low, sizes, dims, strict=True)]
    return (*sizes, *offsets)


def _level(sampling: ModelSampling, percent: float | None) -> float | None:
    return None if percent is None else sampling.percent_to_sigma(float(percent))
