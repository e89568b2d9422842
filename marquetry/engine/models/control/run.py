"""ControlRun: a chain of controls during one run of a sampler: pictures fitted once, residuals weighed, masked and added up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from marquetry.engine.lazy import functional, torch
from marquetry.engine.models.control.kind import ControlCall, Residuals
from marquetry.engine.models.fitting import repeated

if TYPE_CHECKING:
    from torch import Tensor

    from marquetry.engine.models.control.control_net import AppliedControl
    from marquetry.engine.models.model import Model

MID = "mid_block_additional_residual"
DOWN = "down_block_additional_residuals"
INNER = "down_intrablock_additional_residuals"
PATCH = 2  # latent pixels along a token's side


@dataclass(frozen=True, eq=False)
class _Link:
    applied: AppliedControl
    start: float  # silent above this level
    end: float  # silent below this level

    @property
    def always(self) -> bool:
        return self.applied.start_percent <= 0.0 and self.applied.end_percent >= 1.0

    def active(self, level: float) -> bool:
        return self.always or self.end <= level <= self.start


class ControlRun:
    """The chain over a latent of `batch` pictures. Keeps what does not change from step to step."""

    def __init__(self, model: Model, chain: Sequence[AppliedControl], batch: int) -> None:
        levels = model.sampling.percent_to_sigma
        self._links = [_Link(link, levels(link.start_percent), levels(link.end_percent)) for link in chain if link.strength != 0.0]
        self._model = model
        self._batch = batch
        self._hints: dict[tuple[int, tuple[int, int]], list[Tensor]] = {}

    def residuals(self, denoiser: Any, x: Tensor, time: Tensor, sigma: Tensor, values: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of the denoiser's call at `sigma` [B], for the scaled latent `x` [B, C, h, w]."""
        level = 0.0 if all(link.always for link in self._links) else float(sigma.reshape(-1)[0])  # reading it waits for the device
        total: Residuals = {}
        for number, link in enumerate(self._links):
            if not link.active(level):
                continue
            applied = link.applied
            with applied.net.resident.use() as network:
                hint = [repeated(each, x.shape[0]) for each in self._hint(number, applied, network, x)]
                made = applied.net.kind.residuals(ControlCall(applied.net, network, denoiser, x, time, values, hint))
            added(total, weighed(made, applied, x, self._batch))
        return {name: parts[0] if name == MID else parts for name, parts in total.items()}

    def _hint(self, number: int, applied: AppliedControl, network: Any, x: Tensor) -> list[Tensor]:
        """What the network makes of the picture, for as many pictures as the run has."""
        size = (int(x.shape[-2]), int(x.shape[-1]))
        key = (number, size)
        if key not in self._hints:
            made = applied.net.kind.hint(applied, network, self._model, size)
            self._hints[key] = [repeated(each.to(applied.net.device, applied.net.dtype), self._batch) for each in made]
        return self._hints[key]


def weighed(residuals: Residuals, applied: AppliedControl, x: Tensor, batch: int) -> Residuals:
    """The residuals at the control's strength, within its mask."""
    strength, mask = applied.strength, applied.mask
    if mask is None:
        return {name: [part * strength for part in parts] for name, parts in residuals.items()}
    places = repeated(repeated(mask.reshape(-1, 1, *mask.shape[-2:]).to(x), batch), x.shape[0])

    def within(part: Tensor) -> Tensor:
        if part.ndim == 3:
            size = tuple(-(-side // PATCH) for side in x.shape[-2:])
            return part * (_sized(places, size).flatten(2).movedim(1, 2) * strength)
        return part * (_sized(places, tuple(part.shape[-2:])) * strength)

    return {name: [within(part) for part in parts] for name, parts in residuals.items()}


def added(total: Residuals, residuals: Residuals) -> None:
    """Adds residuals to those that are there, part by part."""
    for name, parts in residuals.items():
        total[name] = [one + other for one, other in zip(total[name], parts, strict=True)] if name in total else parts


def _sized(mask: Tensor, size: tuple[int, ...]) -> Tensor:
    """A mask [B, 1, H, W] at that size; the mean over what each place stands for, or bilinear where it grows."""
    larger = size[0] > mask.shape[-2] or size[1] > mask.shape[-1]
    if larger:
        return torch.clamp(functional.interpolate(mask, size=size, mode="bilinear"), 0.0, 1.0)
    return functional.interpolate(mask, size=size, mode="area")
