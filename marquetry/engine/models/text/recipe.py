"""TextRecipe: which text encoders a family reads, how it reads each, and how their outputs become one CONDITIONING."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from marquetry.engine.models.text.encoder import Encoded
from marquetry.engine.models.text.part import TextEncoderPart

if TYPE_CHECKING:
    from torch import Tensor

    from marquetry.engine.models.text.files import TextFile


@dataclass(frozen=True, eq=False)
class EncodedPrompt:
    """`embedding` [1, T, D] and `pooled` [1, P], float32 on the CPU; `extras` join them in CONDITIONING.

    `missing` names textual inversions that were left out.
    """

    embedding: Tensor
    pooled: Tensor | None
    missing: tuple[str, ...] = ()
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        return self.embedding.nbytes + (0 if self.pooled is None else self.pooled.nbytes)

    def conditioning(self, **more: Any) -> list[Any]:
        """As CONDITIONING, with further extras."""
        pooled = {} if self.pooled is None else {"pooled_output": self.pooled}
        return [[self.embedding, {**pooled, **self.extras, **more}]]


class TextRecipe(Protocol):
    """What a family does with text. `types` are the values of CLIPLoader's `type` that it answers to, with how many files each takes."""

    types: Mapping[str, frozenset[int]]

    def assign(self, files: Sequence[TextFile]) -> Mapping[str, tuple[int, TextEncoderPart]] | None:
        """Encoders in separate files: by role, the number of the file and how it is read; None where they are not those that it reads."""
        ...

    def compose(self, encoded: Mapping[str, Encoded]) -> EncodedPrompt:
        """One prompt's outputs, by role, as one. Roles whose encoder was not loaded are missing."""
        ...
