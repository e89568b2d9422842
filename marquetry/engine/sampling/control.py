"""Control: what steers a denoiser beside its prompt, as the sampling code sees it; ControlNets and adapters are such things."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from marquetry.engine.sampling.model import DiffusionModel

CONTROL = "control"
"""The key of a conditioning's control, and, prepared for one run, of a model's values: entries with the very same one share a forward pass."""

RESIDUALS = "residuals"
"""The key of what control adds to a network: keyword arguments of its call, given to `Family.forward`."""

TO_UNCOND = "control_apply_to_uncond"
"""The key of a mark: negative prompts without control of their own take this one's."""


class Control(Protocol):
    """What an entry of a CONDITIONING carries under `CONTROL`. Immutable."""

    def loaded(self) -> AbstractContextManager[None]:
        """Keeps its weights on the device for the time of sampling."""
        ...

    def prepared(self, model: DiffusionModel, latent: Tensor) -> Any:
        """The control for one run over `latent` [B, C, h, w]. Raises NodeFailed where it does not fit the model."""
        ...


class Preparing:
    """Prepares each control of a run once, so that prompts which share one keep sharing it."""

    def __init__(self, model: DiffusionModel, latent: Tensor) -> None:
        self._model = model
        self._latent = latent
        self._made: dict[int, Any] = {}

    def __call__(self, extras: Mapping[str, Any]) -> dict[str, Any]:
        """`extras` with the control prepared, where there is one."""
        control: Control | None = extras.get(CONTROL)
        if control is None:
            return dict(extras)
        if id(control) not in self._made:
            self._made[id(control)] = control.prepared(self._model, self._latent)
        return {**extras, CONTROL: self._made[id(control)]}


@contextmanager
def controls_loaded(conditionings: Mapping[str, Sequence[Sequence[Any]]]) -> Iterator[None]:
    """Keeps the weights of all controls in these conditionings on the device while the block runs."""
    with ExitStack() as stack:
        for conditioning in conditionings.values():
            for _, extras in conditioning:
                if extras.get(CONTROL) is not None:
                    stack.enter_context(extras[CONTROL].loaded())
        yield


def controlled_alike(positive: Sequence[Sequence[Any]], negative: Sequence[Sequence[Any]]) -> list[Any]:
    """`negative` with the controls of those entries of `positive` that are marked to count for both, where it has none of its own.

    Each such control goes to a whole-picture entry without one, or to a copy of one when there are more controls than entries.
    """
    marked = [extras[CONTROL] for _, extras in positive if extras.get(TO_UNCOND) and extras.get(CONTROL) is not None]
    if not marked or any(extras.get(CONTROL) is not None for _, extras in negative):
        return list(negative)
    whole = [index for index, (_, extras) in enumerate(negative) if extras.get("area") is None]
    if not whole:
        return list(negative)
    entries: list[Any] = list(negative)
    for number, control in enumerate(marked):
        embedding, extras = negative[whole[number % len(whole)]]
        entry = [embedding, {**extras, CONTROL: control}]
        if number < len(whole):
            entries[whole[number]] = entry
        else:
            entries.append(entry)
    return entries
