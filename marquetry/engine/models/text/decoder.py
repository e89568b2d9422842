"""Decoder language models as text encoders: a template around the words, a layer's hidden states, what stands before the words left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from marquetry.engine.lazy import torch
from marquetry.engine.models.text.part import TextEncoderPart
from marquetry.engine.models.text.prompt import FindEmbedding, FindVocabulary, PlacedPicture, TokenizedPrompt, WeightedToken

if TYPE_CHECKING:
    from torch import Tensor

Chunk = tuple[WeightedToken, ...]
WORDS = "{}"  # where a template takes the words
PICTURE = "<|image_pad|>"


class DecoderKind:
    """One chunk of any length; parentheses are letters like others, since the template speaks of the words as they are."""

    def tokenize(self, text: str, part: TextEncoderPart, find_embedding: FindEmbedding, vocabulary: FindVocabulary) -> TokenizedPrompt:
        return self.seeing(text, part, vocabulary, (), part.template)

    def seeing(
        self, text: str, part: TextEncoderPart, vocabulary: FindVocabulary, seen: Sequence[tuple[Tensor, int, int]], template: str
    ) -> TokenizedPrompt:
        """The prompt with what was seen (vectors [rows * columns, D], rows, columns) in place of each mark of a picture, in order."""
        tokenizer = vocabulary()
        before, found, after = template.partition(WORDS)
        if not found:
            before, after = "", ""
        tokens: list[WeightedToken] = []
        places: list[PlacedPicture] = []
        waiting = list(seen)
        mark = tokenizer.token_to_id(PICTURE) if seen else None
        for number in tokenizer.encode(before + text + after, add_special_tokens=part.marked).ids:
            if number != mark or not waiting:
                tokens.append((number, 1.0))
                continue
            vectors, rows, columns = waiting.pop(0)
            places.append(PlacedPicture(len(tokens), rows, columns))
            tokens += [(vector, 1.0) for vector in vectors]
        dropped = len(tokenizer.encode(before, add_special_tokens=part.marked).ids) if part.trimmed else 0
        missing = max(part.min_tokens, len(tokens) + part.padding, dropped + 1) - len(tokens)
        return TokenizedPrompt(((*tokens, *[(part.pad_token, 1.0)] * missing),), dropped=dropped, pictures=tuple(places), words=len(tokens))

    def empty(self, part: TextEncoderPart, length: int) -> Chunk:
        return ((part.pad_token, 1.0),) * length

    def mask(self, chunks: Sequence[Chunk], part: TextEncoderPart, prompt: TokenizedPrompt) -> Tensor:
        return (torch.arange(len(chunks[0]))[None] < max(1, prompt.words)).long().expand(len(chunks), -1)

    def run(
        self, network: Any, embedded: Tensor, ids: Tensor, mask: Tensor, part: TextEncoderPart, layers: int, prompt: TokenizedPrompt
    ) -> tuple[Tensor, Tensor | None]:
        last = layers == len(network.layers)
        places = positions(ids.shape[1], prompt.pictures).to(embedded.device)
        located = {"position_ids": places[:, None].expand(-1, len(ids), -1)} if prompt.pictures else {}
        output = network(
            inputs_embeds=embedded, attention_mask=mask.to(embedded.device), output_hidden_states=not last, use_cache=False, **located
        )
        return (output.last_hidden_state if last else output.hidden_states[layers]), None


def positions(length: int, pictures: Sequence[PlacedPicture]) -> Tensor:
    """Time, row and column of each token, `[3, length]`: words count on, a picture is one moment with rows and columns of its own.

    After a picture the count goes on behind its longer side (Wang et al. 2024, "Qwen2-VL", section 2.1).
    """
    parts: list[Tensor] = []
    token = place = 0
    for picture in pictures:
        words = picture.start - token
        parts.append(torch.arange(place, place + words).expand(3, -1))
        place += words
        rows = torch.arange(picture.rows).repeat_interleave(picture.columns)
        columns = torch.arange(picture.columns).repeat(picture.rows)
        parts.append(torch.stack([torch.zeros_like(rows), rows, columns]) + place)
        place += max(picture.rows, picture.columns)
        token = picture.start + picture.rows * picture.columns
    parts.append(torch.arange(place, place + length - token).expand(3, -1))
    return torch.cat(parts, dim=1)
