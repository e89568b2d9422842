"""Clip: what travels as CLIP: the text encoders of a family with their tokenizers, layers and adapters."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from marquetry.engine.errors import NodeFailed
from marquetry.engine.models.adapters.adapter import Adapter, MatchedAdapter
from marquetry.engine.models.families.family import Found
from marquetry.engine.models.families.registry import family
from marquetry.engine.models.text.encoder import TextEncoder
from marquetry.engine.models.text.prompt import TokenizedPrompt
from marquetry.engine.models.text.recipe import EncodedPrompt

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Clip", "EncodedPrompt", "EncodingCache"]

CACHE_BYTES = 64 * 2**20
CacheKey: TypeAlias = tuple[Any, ...]
Texts: TypeAlias = Mapping[str, TokenizedPrompt]
"""A tokenized prompt for each encoder, by role."""


class EncodingCache:
    """Encoded prompts, the least recently used of which leave first. Safe to use from many threads."""

    def __init__(self, budget_bytes: int = CACHE_BYTES) -> None:
        self.budget_bytes = budget_bytes
        self._used_bytes = 0
        self._entries: OrderedDict[CacheKey, EncodedPrompt] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: CacheKey) -> EncodedPrompt | None:
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
            return found

    def put(self, key: CacheKey, value: EncodedPrompt) -> None:
        with self._lock:
            if key in self._entries or value.size_bytes > self.budget_bytes:
                return
            self._entries[key] = value
            self._used_bytes += value.size_bytes
            while self._used_bytes > self.budget_bytes:
                self._used_bytes -= self._entries.popitem(last=False)[1].size_bytes

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._used_bytes = 0


@dataclass(frozen=True)
class MatchedEncoders:
    """What of an adapter fits each encoder, by role."""

    by_role: Mapping[str, MatchedAdapter]

    @property
    def targets(self) -> bool:
        """Whether it changes anything."""
        return any(match.targets for match in self.by_role.values())

    @property
    def matched(self) -> frozenset[str]:
        return frozenset[str]().union(*(match.matched for match in self.by_role.values()))

    @property
    def misfits(self) -> tuple[str, ...]:
        return tuple(misfit for match in self.by_role.values() for misfit in match.misfits)


@dataclass(frozen=True, eq=False)
class Clip:
    """Text encoders by role, read as their family reads them. Immutable: copies share the resident weights and what was encoded."""

    encoders: Mapping[str, TextEncoder]
    found: Found = field(repr=False)  # what its files hold
    family: str
    cache: EncodingCache = field(repr=False)
    tokenizer_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def first(self) -> TextEncoder:
        """The first encoder: the only one of Stable Diffusion 1 and 2."""
        return next(iter(self.encoders.values()))

    @property
    def width(self) -> int:
        """The size of the first encoder's embeddings."""
        return self.first.part.width

    @property
    def stop_layer(self) -> int | None:
        return self.first.stop_layer

    @property
    def fingerprint(self) -> str:
        """Of the files that the weights come from; empty when one of them has none."""
        prints = [encoder.fingerprint for encoder in self.encoders.values()]
        return "+".join(prints) if all(prints) else ""

    def with_stop_layer(self, stop_layer: int | None) -> Self:
        """A copy whose encoders of CLIP's kind are read after another layer; past the first, ComfyUI reads the last, and so do we."""
        return self._changed(
            {role: replace(each, stop_layer=stop_layer) for role, each in self.encoders.items() if each.part.kind == "clip"}
        )

    def match(self, adapter: Adapter) -> MatchedEncoders:
        """What of an adapter fits these encoders. Brings the weights into memory."""
        return MatchedEncoders({role: encoder.match(adapter) for role, encoder in self.encoders.items()})

    def with_adapter(self, adapter: Adapter | MatchedEncoders, strength: float) -> Self:
        """A copy with one more adapter at that strength; the base weights stay shared and untouched."""
        matched = adapter if isinstance(adapter, MatchedEncoders) else self.match(adapter)
        return self._changed({role: self.encoders[role].with_adapter(match, strength) for role, match in matched.by_role.items()})

    def clone(self) -> Self:
        """A shallow copy."""
        return copy.copy(self)

    @contextmanager
    def loaded(self) -> Iterator[None]:
        """Keeps weights and adapters on the device while the block runs."""
        with ExitStack() as stack:
            for encoder in self.encoders.values():
                stack.enter_context(encoder.loaded())
            yield

    def tokenize(self, text: str, **texts: str) -> Texts:
        """The prompt for every encoder; `texts` are those, by role, that get another one."""
        return {role: encoder.tokenize(texts.get(role, text)) for role, encoder in self.encoders.items()}

    def encode(self, text: str, **texts: str) -> EncodedPrompt:
        """`text` encoded with its weights; remembered until memory is needed. `texts` as in `tokenize`."""
        key = (self.family, tuple((role, encoder.key, texts.get(role, text)) for role, encoder in self.encoders.items()))
        cachable = bool(self.fingerprint) and not any("embedding:" in words for words in (text, *texts.values()))
        known = self.cache.get(key) if cachable else None
        if known is not None:
            return known
        encoded = self.encode_tokens(self.tokenize(text, **texts))
        if cachable:
            self.cache.put(key, encoded)
        return encoded

    def encode_tokens(self, texts: Texts) -> EncodedPrompt:
        """As `encode`, of tokenized prompts. Raises NodeFailed for a role that these encoders lack."""
        strange = [role for role in texts if role not in self.encoders]
        if strange:
            raise NodeFailed(f"there is no text encoder '{strange[0]}' here, only {', '.join(self.encoders)}")
        return family(self.family).text.compose({role: self.encoders[role].encode(prompt) for role, prompt in texts.items()})

    def encode_seeing(self, text: str, pictures: Sequence[Tensor], template: str) -> EncodedPrompt:
        """`text` with pictures `[1, H, W, 3]` in place of their marks, in order. Raises NodeFailed where no encoder sees."""
        role, encoder = next(iter(self.encoders.items()))
        if not pictures and encoder.part.kind == "decoder":
            return self.encode_tokens({role: replace(encoder, part=replace(encoder.part, template=template)).tokenize(text)})
        return self.encode_tokens({role: encoder.tokenize_seeing(text, pictures, template)})

    def encode_conditioning(self, text: str) -> list[Any]:
        """`text` as CONDITIONING."""
        return self.encode(text).conditioning()

    def _changed(self, encoders: Mapping[str, TextEncoder]) -> Self:
        return replace(self, encoders={**self.encoders, **encoders})
