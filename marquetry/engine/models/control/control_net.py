"""ControlNet: what travels as CONTROL_NET; and its application to a prompt: a chain of any length, each with picture, strength, time and place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from marquetry.engine.errors import NodeFailed
from marquetry.engine.models.control.kind import ControlKind, FoundControl
from marquetry.engine.models.control.registry import kinds
from marquetry.engine.models.control.run import ControlRun

if TYPE_CHECKING:
    from torch import Tensor, device, dtype, nn

    from marquetry.engine.models.residency import Resident
    from marquetry.engine.models.vae import Vae

AUTO = "auto"


@dataclass(frozen=True, eq=False)
class ControlNet:
    """A network that steers a denoiser by a picture. Immutable: copies share the resident weights."""

    resident: Resident[nn.Module]
    found: FoundControl = field(repr=False)
    device: device
    dtype: dtype
    name: str
    fingerprint: str = ""
    type: str = AUTO  # the sort of picture, for a union of many; AUTO tells it nothing

    @property
    def kind(self) -> ControlKind:
        """What its architecture knows of itself."""
        return kinds()[self.found.kind]

    def with_type(self, type: str) -> Self:
        """A copy that is told what sort of picture it gets. Raises NodeFailed for a sort that this union does not know."""
        count = self.found.facts.get("types", 0)
        if type != AUTO and count and not 0 <= self.kind.types.get(type, -1) < count:
            known = ", ".join(f"'{each}'" for each, number in self.kind.types.items() if number < count)
            raise NodeFailed(f"{self.name} knows no type '{type}'; it knows {known}")
        return replace(self, type=type)

    @property
    def needs_vae(self) -> bool:
        """Whether it reads pictures as latents."""
        return self.kind.needs_vae and not self.found.facts.get("pixels")

    @property
    def takes_mask(self) -> bool:
        """Whether it is told what is to stay of its picture."""
        config = self.found.recipe.config
        return bool(config.get("extra_conditioning_channels") or config.get("extra_condition_channels"))

    @property
    def type_number(self) -> int | None:
        """The type by the network's own count; None where it is told nothing."""
        return None if self.type == AUTO else self.kind.types.get(self.type)


@dataclass(frozen=True, eq=False)
class AppliedControl:
    """A ControlNet with the picture it reads, where, when and how strongly it counts, and what was applied before it."""

    net: ControlNet
    image: Tensor  # [B, H, W, C] in 0..1
    strength: float = 1.0
    start_percent: float = 0.0
    end_percent: float = 1.0
    mask: Tensor | None = None  # [B, H, W]: where it counts
    vae: Vae | None = None
    keep: Tensor | None = None  # [B, H, W]: what an inpainting ControlNet is told to keep
    previous: AppliedControl | None = None

    def chain(self) -> Iterator[AppliedControl]:
        """All that is applied, the latest first."""
        link: AppliedControl | None = self
        while link is not None:
            yield link
            link = link.previous

    @contextmanager
    def loaded(self) -> Iterator[None]:
        """Keeps all networks of the chain on the device while the block runs."""
        with ExitStack() as stack:
            for link in self.chain():
                stack.enter_context(link.net.resident.use())
            yield

    def prepared(self, model: Any, latent: Tensor) -> ControlRun:
        """See `sampling.control.Control`."""
        for link in self.chain():
            found = link.net.found
            if model.family not in found.families:
                raise NodeFailed(f"{link.net.name} steers models of {' and '.join(found.families)}; this one is of {model.family}")
            wanted, has = found.facts.get("context_width"), model.config.get("cross_attention_dim")
            if wanted and has is not None and wanted != has:
                raise NodeFailed(f"{link.net.name} reads prompts of width {wanted}; this model's have {has}")
        return ControlRun(model, tuple(self.chain()), latent.shape[0])
