"""Clip: what travels as CLIP: a text encoder of CLIP's kind with its tokenizer, the layer it is read at, and its adapters."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from marquetry.engine.errors import NodeFailed
from marquetry.engine.lazy import torch
from marquetry.engine.models.adapters.adapter import Adapter, AppliedAdapter, MatchedAdapter
from marquetry.engine.models.adapters.apply import applied, staged
from marquetry.engine.models.text.clip_tokenizer import END_TOKEN
from marquetry.engine.models.families.family import Found, TextEncoderPart
from marquetry.engine.models.text.prompt import FindEmbedding, TokenizedPrompt, WeightedToken, empty_chunk, tokenize_prompt

if TYPE_CHECKING:
    from torch import Tensor, device, dtype

    from marquetry.engine.models.residency import Resident

CACHE_BYTES = 64 * 2**20
CacheKey: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class EncodedPrompt:
    """`embedding` [1, T, D] and `pooled` [1, P], float32 on the CPU; `missing` names textual inversions that were left out."""

    embedding: Tensor
    pooled: Tensor
    missing: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        return self.embedding.nbytes + self.pooled.nbytes


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


@dataclass(frozen=True, eq=False)
class Clip:
    """A text encoder. Immutable: copies share the resident weights and the cache of encoded prompts.

    `stop_layer` is -1 for the last layer, -2 for the one before, ...; None for the layer that the family reads.
    """

    resident: Resident[Any]
    found: Found = field(repr=False)  # what its file holds
    family: str
    device: device
    dtype: dtype
    find_embedding: FindEmbedding = field(repr=False)  # vectors of this encoder's width
    cache: EncodingCache = field(repr=False)
    fingerprint: str = ""
    stop_layer: int | None = None
    adapters: tuple[AppliedAdapter, ...] = ()

    @property
    def part(self) -> TextEncoderPart:
        """The encoder as its family describes it."""
        assert self.found.text_encoder is not None
        return self.found.text_encoder

    @property
    def width(self) -> int:
        return int(self.part.recipe.config["hidden_size"])

    @property
    def layer_count(self) -> int:
        """The layers of the published encoder, those that the file leaves out included."""
        return int(self.part.recipe.config["num_hidden_layers"]) + self.part.absent_layers

    def with_stop_layer(self, stop_layer: int | None) -> Self:
        """A copy that is read after another layer; past the first, ComfyUI reads the last, and so do we."""
        return replace(self, stop_layer=stop_layer)

    def match(self, adapter: Adapter) -> MatchedAdapter:
        """What of an adapter fits this encoder. Brings the weights into memory."""
        with self.resident.use() as network:
            return adapter.for_network(network, "text_encoder")

    def with_adapter(self, adapter: Adapter | MatchedAdapter, strength: float) -> Self:
        """A copy with one more adapter at that strength; the base weights stay shared and untouched."""
        matched = adapter if isinstance(adapter, MatchedAdapter) else self.match(adapter)
        return replace(self, adapters=(*self.adapters, matched.applied(strength)))

    def clone(self) -> Self:
        """A shallow copy."""
        return copy.copy(self)

    @contextmanager
    def loaded(self) -> Iterator[None]:
        """Keeps weights and adapters on the device while the block runs."""
        with self.resident.use() as network, staged(network, self.adapters):
            yield

    def tokenize(self, text: str) -> TokenizedPrompt:
        """The prompt in weighted chunks of 77 tokens. Raises ModelFormatError for an unsound textual inversion."""
        return tokenize_prompt(text, pad_token=self.part.pad_token, find_embedding=self.find_embedding)

    def encode(self, text: str) -> EncodedPrompt:
        """`text` encoded with its weights, at this encoder's layer; remembered until memory is needed."""
        key = (self.fingerprint, str(self.dtype), self.layers_run(), tuple(adapter.key for adapter in self.adapters), text)
        cachable = bool(self.fingerprint) and "embedding:" not in text
        known = self.cache.get(key) if cachable else None
        if known is not None:
            return known
        encoded = self.encode_tokens(self.tokenize(text))
        if cachable:
            self.cache.put(key, encoded)
        return encoded

    def encode_tokens(self, prompt: TokenizedPrompt) -> EncodedPrompt:
        """As `encode`, of a tokenized prompt. A weight moves an embedding along the line from the empty prompt's."""
        chunks = list(prompt.chunks)
        if prompt.is_weighted:
            chunks.append(empty_chunk(self.part.pad_token))
        hidden, pooled = self._forward(chunks)
        parts = hidden[: len(prompt.chunks)]
        if prompt.is_weighted:
            weights = torch.tensor([[weight for _, weight in chunk] for chunk in prompt.chunks])[..., None]  # [S, 77, 1]
            moved = (parts - hidden[-1:]) * weights + hidden[-1:]
            parts = torch.where(weights == 1.0, parts, moved)
        return EncodedPrompt(parts.reshape(1, -1, hidden.shape[-1]), pooled[:1], prompt.missing)

    def encode_conditioning(self, text: str) -> list[Any]:
        """`text` as CONDITIONING."""
        encoded = self.encode(text)
        return [[encoded.embedding, {"pooled_output": encoded.pooled}]]

    def layers_run(self) -> int:
        """After how many of the file's layers hidden states are read."""
        present = int(self.part.recipe.config["num_hidden_layers"])
        if self.stop_layer is None:
            return present - self.part.layer
        if abs(self.stop_layer) > self.layer_count:
            return present
        return max(1, min(present, self.layer_count + self.stop_layer + 1))

    def _forward(self, chunks: list[tuple[WeightedToken, ...]]) -> tuple[Tensor, Tensor]:
        """Hidden states `[S, 77, D]` after the final norm, and pooled outputs `[S, P]`, float32 on the CPU."""
        ids = torch.tensor([[token if isinstance(token, int) else 0 for token, _ in chunk] for chunk in chunks])
        vocabulary = int(self.part.recipe.config["vocab_size"])
        if int(ids.max()) >= vocabulary:
            raise NodeFailed(f"this text encoder knows {vocabulary:,} tokens; prompts need all {END_TOKEN + 1:,} of CLIP")
        ends = [next(place for place, (token, _) in enumerate(chunk) if isinstance(token, int) and token == END_TOKEN) for chunk in chunks]
        stop = self.layers_run()
        with self.resident.use() as network, applied(network, self.adapters), torch.inference_mode():
            embedded = network.embeddings.token_embedding(ids.to(self.device))
            for row, chunk in enumerate(chunks):
                for column, (token, _) in enumerate(chunk):
                    if not isinstance(token, int):
                        embedded[row, column] = token.to(embedded)
            hidden = network.embeddings(inputs_embeds=embedded)
            chosen = hidden
            for number, layer in enumerate(network.encoder.layers, start=1):
                hidden = layer(hidden, None, is_causal=True)
                if number == stop:
                    chosen = hidden
            last = network.final_layer_norm(hidden)
            pooled = last[torch.arange(len(chunks)), torch.tensor(ends)]
            if hasattr(network, "text_projection"):
                pooled = network.text_projection(pooled)
            chosen = last if stop == len(network.encoder.layers) else network.final_layer_norm(chosen)
        return chosen.float().cpu().clone(), pooled.float().cpu().clone()
