"""TextEncoder: one network of a CLIP wire with its tokenizer, the layer it is read at, and its adapters. Weighs words as ComfyUI does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from marquetry.engine.errors import NodeFailed
from marquetry.engine.lazy import torch
from marquetry.engine.models.adapters.adapter import Adapter, AppliedAdapter, MatchedAdapter
from marquetry.engine.models.adapters.apply import applied, staged
from marquetry.engine.models.text.kinds import DECODER, kind_of
from marquetry.engine.models.text.part import TextEncoderPart
from marquetry.engine.models.text.prompt import FindEmbedding, FindVocabulary, TokenizedPrompt, WeightedToken
from marquetry.engine.models.text.vision import patches, seen_as

if TYPE_CHECKING:
    from torch import Tensor, device, dtype

    from marquetry.engine.models.residency import Resident


@dataclass(frozen=True, eq=False)
class Encoded:
    """What one encoder makes of a prompt: `hidden` [1, T, D], `pooled` [1, P] where it has one, `mask` [1, T] of words; on the CPU."""

    hidden: Tensor
    pooled: Tensor | None
    mask: Tensor
    missing: tuple[str, ...] = ()


def no_vocabulary() -> Any:
    """Stands where an encoder's kind tells its vocabulary."""
    raise NodeFailed("this text encoder came without a vocabulary")


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """Immutable: copies share the resident weights. `stop_layer` is -1 for the last layer, -2 for the one before; None for the family's."""

    part: TextEncoderPart
    resident: Resident[Any]
    device: device
    dtype: dtype
    find_embedding: FindEmbedding = field(repr=False)  # vectors of this encoder's width
    fingerprint: str = ""
    stop_layer: int | None = None
    adapters: tuple[AppliedAdapter, ...] = ()
    vocabulary: FindVocabulary = field(default=no_vocabulary, repr=False)
    eyes: Resident[Any] | None = None  # what sees pictures among the words

    @property
    def layer_count(self) -> int:
        """The layers of the published encoder, those that the file leaves out included."""
        return self._present + self.part.absent_layers

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal keys encode equal prompts equally."""
        lengths = self.part.min_tokens, self.part.padding
        return self.fingerprint, str(self.dtype), self.layers_run(), lengths, tuple(adapter.key for adapter in self.adapters)

    @contextmanager
    def loaded(self) -> Iterator[None]:
        """Keeps weights and adapters on the device while the block runs."""
        with self.resident.use() as network, staged(network, self.adapters):
            yield

    def match(self, adapter: Adapter) -> MatchedAdapter:
        """What of an adapter fits this encoder. Brings the weights into memory."""
        with self.resident.use() as network:
            return adapter.for_network(network, self.part.adapter_part)

    def with_adapter(self, matched: MatchedAdapter, strength: float) -> Self:
        """A copy with one more adapter at that strength."""
        return replace(self, adapters=(*self.adapters, matched.applied(strength)))

    def tokenize(self, text: str) -> TokenizedPrompt:
        """The prompt as weighted tokens. Raises ModelFormatError for an unsound textual inversion."""
        return kind_of(self.part).tokenize(text, self.part, self.find_embedding, self.vocabulary)

    def tokenize_seeing(self, text: str, pictures: Sequence[Tensor], template: str) -> TokenizedPrompt:
        """As `tokenize`, with pictures `[1, H, W, 3]` in place of their marks in text or template. Raises NodeFailed without eyes."""
        if self.eyes is None:
            raise NodeFailed("this text encoder sees no pictures: its file holds no picture encoder (tensors named visual.*)")
        seen = []
        with self.eyes.use() as network, torch.inference_mode():
            for picture in pictures:
                cut, rows, columns = patches(picture, int(network.config.patch_size))
                seen.append(seen_as(network, cut.to(self.device, self.dtype), rows, columns))
        return DECODER.seeing(text, self.part, self.vocabulary, seen, template)

    def encode(self, prompt: TokenizedPrompt) -> Encoded:
        """A weight moves an embedding along the line from the empty prompt's."""
        kind = kind_of(self.part)
        chunks = list(prompt.chunks)
        if prompt.is_weighted:
            chunks.append(kind.empty(self.part, len(chunks[0])))
        hidden, pooled, mask = self._forward(chunks, prompt)
        hidden, mask = hidden[:, prompt.dropped :], mask[:, prompt.dropped :]
        parts = hidden[: len(prompt.chunks)]
        if prompt.is_weighted:
            weights = torch.tensor([[weight for _, weight in chunk] for chunk in prompt.chunks])[..., None]  # [S, T, 1]
            moved = (parts - hidden[-1:]) * weights + hidden[-1:]
            parts = torch.where(weights == 1.0, parts, moved)
        first = None if pooled is None else pooled[:1]
        return Encoded(parts.reshape(1, -1, hidden.shape[-1]), first, mask[: len(parts)].reshape(1, -1), prompt.missing)

    @property
    def _present(self) -> int:
        config = self.part.recipe.config
        return int(config["num_hidden_layers" if "num_hidden_layers" in config else "num_layers"])

    def layers_run(self) -> int:
        if self.stop_layer is None:
            return self._present - self.part.layer
        if abs(self.stop_layer) > self.layer_count:
            return self._present
        return max(1, min(self._present, self.layer_count + self.stop_layer + 1))

    def _forward(self, chunks: Sequence[tuple[WeightedToken, ...]], prompt: TokenizedPrompt) -> tuple[Tensor, Tensor | None, Tensor]:
        """Hidden states `[S, T, D]`, pooled outputs `[S, P]` and masks `[S, T]`, float32 on the CPU."""
        ids = torch.tensor([[token if isinstance(token, int) else 0 for token, _ in chunk] for chunk in chunks])
        vocabulary = int(self.part.recipe.config["vocab_size"])
        if int(ids.max()) >= vocabulary:
            raise NodeFailed(f"this text encoder knows {vocabulary:,} tokens; the prompt needs token {int(ids.max()):,}")
        kind = kind_of(self.part)
        mask = kind.mask(chunks, self.part, prompt)
        with self.resident.use() as network, applied(network, self.adapters), torch.inference_mode():
            embedded = network.get_input_embeddings()(ids.to(self.device))
            for row, chunk in enumerate(chunks):
                for column, (token, _) in enumerate(chunk):
                    if not isinstance(token, int):
                        embedded[row, column] = token.to(embedded)
            hidden, pooled = kind.run(network, embedded, ids, mask, self.part, self.layers_run(), prompt)
        return hidden.float().cpu().clone(), None if pooled is None else pooled.float().cpu().clone(), mask
