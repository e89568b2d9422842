"""Kinds of text encoders: how each is given a prompt and what is read from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from marquetry.engine.lazy import torch
from marquetry.engine.models.text import vocabularies
from marquetry.engine.models.text.clip_tokenizer import END_TOKEN
from marquetry.engine.models.text.decoder import DecoderKind
from marquetry.engine.models.text.part import TextEncoderPart
from marquetry.engine.models.text.prompt import (
    FindEmbedding,
    FindVocabulary,
    TokenizedPrompt,
    WeightedToken,
    empty_chunk,
    tokenize_prompt,
    weighted_tokens,
)

if TYPE_CHECKING:
    from torch import Tensor

Chunk = tuple[WeightedToken, ...]


class Kind(Protocol):
    """One kind of encoder. Chunks of one prompt are equally long."""

    def tokenize(self, text: str, part: TextEncoderPart, find_embedding: FindEmbedding, vocabulary: FindVocabulary) -> TokenizedPrompt: ...

    def empty(self, part: TextEncoderPart, length: int) -> Chunk:
        """The chunk of a prompt without words, of that length."""
        ...

    def mask(self, chunks: Sequence[Chunk], part: TextEncoderPart, prompt: TokenizedPrompt) -> Tensor:
        """1 where there are words or marks, 0 where there is padding, `[S, T]`."""
        ...

    def run(
        self, network: Any, embedded: Tensor, ids: Tensor, mask: Tensor, part: TextEncoderPart, layers: int, prompt: TokenizedPrompt
    ) -> tuple[Tensor, Tensor | None]:
        """Hidden states `[S, T, D]` after that many layers, and pooled outputs `[S, P]`, of embedded tokens `[S, T, D]`."""
        ...


class ClipKind:
    """CLIP's text tower (Radford et al. 2021): chunks of 77 tokens, causal attention, pooled at the mark of the end."""

    def tokenize(self, text: str, part: TextEncoderPart, find_embedding: FindEmbedding, vocabulary: FindVocabulary) -> TokenizedPrompt:
        return tokenize_prompt(text, pad_token=part.pad_token, find_embedding=find_embedding)

    def empty(self, part: TextEncoderPart, length: int) -> Chunk:
        return empty_chunk(part.pad_token)

    def mask(self, chunks: Sequence[Chunk], part: TextEncoderPart, prompt: TokenizedPrompt) -> Tensor:
        ends = torch.tensor([_end(chunk) for chunk in chunks])[:, None]
        return (torch.arange(len(chunks[0]))[None] <= ends).long()

    def run(
        self, network: Any, embedded: Tensor, ids: Tensor, mask: Tensor, part: TextEncoderPart, layers: int, prompt: TokenizedPrompt
    ) -> tuple[Tensor, Tensor | None]:
        hidden = network.embeddings(inputs_embeds=embedded)
        chosen = hidden
        for number, layer in enumerate(network.encoder.layers, start=1):
            hidden = layer(hidden, None, is_causal=True)
            if number == layers:
                chosen = hidden
        last = network.final_layer_norm(hidden)
        pooled = last[torch.arange(len(ids)), mask.sum(dim=1) - 1]
        if part.projected and hasattr(network, "text_projection"):
            pooled = network.text_projection(pooled)
        if part.final_norm:
            chosen = last if layers == len(network.encoder.layers) else network.final_layer_norm(chosen)
        return chosen, pooled


class T5Kind:
    """T5's encoder (Raffel et al. 2020): one chunk of any length, padded to a least one."""

    def tokenize(self, text: str, part: TextEncoderPart, find_embedding: FindEmbedding, vocabulary: FindVocabulary) -> TokenizedPrompt:
        tokenizer = vocabulary() if part.vocabulary else vocabularies.t5()
        tokens, missing = weighted_tokens(text, lambda words: list(tokenizer.encode(words, add_special_tokens=False).ids), find_embedding)
        tokens.append((part.end_token, 1.0))
        return TokenizedPrompt((_padded(tokens, part),), missing)

    def empty(self, part: TextEncoderPart, length: int) -> Chunk:
        return ((part.end_token, 1.0), *[(part.pad_token, 1.0)] * (length - 1))

    def mask(self, chunks: Sequence[Chunk], part: TextEncoderPart, prompt: TokenizedPrompt) -> Tensor:
        words = [
            next(place for place, (token, _) in enumerate(chunk) if isinstance(token, int) and token == part.end_token) for chunk in chunks
        ]
        return (torch.arange(len(chunks[0]))[None] <= torch.tensor(words)[:, None]).long()

    def run(
        self, network: Any, embedded: Tensor, ids: Tensor, mask: Tensor, part: TextEncoderPart, layers: int, prompt: TokenizedPrompt
    ) -> tuple[Tensor, Tensor | None]:
        shown = mask.to(embedded.device) if part.masked else None
        output = network(inputs_embeds=embedded, attention_mask=shown, output_hidden_states=layers != len(network.encoder.block))
        if layers == len(network.encoder.block):
            return output.last_hidden_state, None
        chosen = output.hidden_states[layers]
        return network.encoder.final_layer_norm(chosen) if part.final_norm else chosen, None


DECODER = DecoderKind()
KINDS: Mapping[str, Kind] = {"clip": ClipKind(), "t5": T5Kind(), "umt5": T5Kind(), "decoder": DECODER}


def kind_of(part: TextEncoderPart) -> Kind:
    """The kind that a part names."""
    return KINDS[part.kind]


def _end(chunk: Chunk) -> int:
    return next(place for place, (token, _) in enumerate(chunk) if isinstance(token, int) and token == END_TOKEN)


def _padded(tokens: Sequence[WeightedToken], part: TextEncoderPart) -> Chunk:
    length = max(part.min_tokens, len(tokens) + part.padding)
    return (*tokens, *[(part.pad_token, 1.0)] * (length - len(tokens)))
