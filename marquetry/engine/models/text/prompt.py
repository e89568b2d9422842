"""Prompts: ComfyUI's weight syntax, textual inversions by name, and chunks of 75 tokens between marks of start and end.

`(word)` weighs 1.1 times as much, `(word:1.2)` exactly 1.2, nested parentheses multiply; `\\(` and `\\)` are plain parentheses.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from marquetry.engine.models.text.clip_tokenizer import END_TOKEN, START_TOKEN, tokenize

if TYPE_CHECKING:
    from torch import Tensor

EMPHASIS = 1.1
CHUNK_TOKENS = 77  # with the two marks
MAX_DEPTH = 200  # of parentheses; deeper ones stand for themselves
SMALL_PASSAGE = 8  # a passage shorter than this many tokens is not cut at the end of a chunk
OPEN, CLOSE = "\ue000", "\ue001"  # stand for escaped parentheses while weights are read
EMBEDDING = re.compile(r"(?:^|(?<=\s))embedding:(\S+)")

Token: TypeAlias = "int | Tensor"  # a number of the vocabulary, or a textual inversion's vector [D]
WeightedToken: TypeAlias = tuple[Token, float]
FindEmbedding: TypeAlias = Callable[[str], "Tensor | None"]  # name -> vectors [N, D]
FindVocabulary: TypeAlias = Callable[[], Any]  # the tokenizer of an encoder whose kind doesn't tell it


@dataclass(frozen=True)
class PlacedPicture:
    """A picture among the tokens: where it starts, and its rows and columns."""

    start: int
    rows: int
    columns: int


@dataclass(frozen=True)
class TokenizedPrompt:
    """Chunks of equal length; `missing` are the names of textual inversions that were left out, since no file has them.

    Of a single chunk that a template stands around, `dropped` tokens at the start are not read, and `words` are those before the padding.
    """

    chunks: tuple[tuple[WeightedToken, ...], ...]
    missing: tuple[str, ...] = ()
    dropped: int = 0
    words: int = 0
    pictures: tuple[PlacedPicture, ...] = ()

    @property
    def is_weighted(self) -> bool:
        return any(weight != 1.0 for chunk in self.chunks for _, weight in chunk)


@dataclass
class _Chunks:
    pad_token: int
    done: list[list[WeightedToken]] = field(default_factory=list)
    open: list[WeightedToken] = field(default_factory=lambda: [(START_TOKEN, 1.0)])

    def add(self, passage: Sequence[WeightedToken]) -> None:
        rest = list(passage)
        cuttable = len(rest) >= SMALL_PASSAGE
        while rest:
            space = CHUNK_TOKENS - 1 - len(self.open)
            if len(rest) <= space:
                self.open.extend(rest)
                return
            if cuttable:
                self.open.extend(rest[:space])
                rest = rest[space:]
            self.close()

    def close(self) -> None:
        padding = CHUNK_TOKENS - 1 - len(self.open)
        self.done.append([*self.open, (END_TOKEN, 1.0), *[(self.pad_token, 1.0)] * padding])
        self.open = [(START_TOKEN, 1.0)]


def parse_weights(text: str, weight: float = 1.0) -> list[tuple[str, float]]:
    """Passages of `text` with their weights, in order. Unbalanced parentheses stand for themselves."""
    escaped = text.replace("\\)", CLOSE).replace("\\(", OPEN)
    return [(passage.replace(CLOSE, ")").replace(OPEN, "("), value) for passage, value in _weighted(escaped, weight)]


def tokenize_prompt(text: str, *, pad_token: int, find_embedding: FindEmbedding) -> TokenizedPrompt:
    """`text` in chunks of 77 tokens."""
    chunks = _Chunks(pad_token)
    missing: list[str] = []
    for passage, weight in parse_weights(text):
        for piece in _pieces(passage):
            if isinstance(piece, str):
                chunks.add([(token, weight) for token in tokenize(piece)])
                continue
            vectors, trailing = _find(piece.name, find_embedding)
            if vectors is None:
                missing.append(piece.name)
            else:
                chunks.add([(vector, weight) for vector in vectors])
            if trailing:
                chunks.add([(token, weight) for token in tokenize(trailing)])
    chunks.close()
    return TokenizedPrompt(tuple(tuple(chunk) for chunk in chunks.done), tuple(missing))


def weighted_tokens(
    text: str, encode: Callable[[str], Sequence[int]], find_embedding: FindEmbedding
) -> tuple[list[WeightedToken], tuple[str, ...]]:
    """The tokens of `text` with their weights in one row, and the names of textual inversions that no file has."""
    tokens: list[WeightedToken] = []
    missing: list[str] = []
    for passage, weight in parse_weights(text):
        for piece in _pieces(passage):
            if isinstance(piece, str):
                tokens += [(token, weight) for token in encode(piece)]
                continue
            vectors, trailing = _find(piece.name, find_embedding)
            if vectors is None:
                missing.append(piece.name)
            else:
                tokens += [(vector, weight) for vector in vectors]
            tokens += [(token, weight) for token in encode(trailing)] if trailing else []
    return tokens, tuple(missing)


def empty_chunk(pad_token: int) -> tuple[WeightedToken, ...]:
    """The chunk of a prompt without words."""
    chunks = _Chunks(pad_token)
    chunks.close()
    return tuple(chunks.done[0])


@dataclass(frozen=True)
class _EmbeddingName:
    name: str


def _weighted(text: str, weight: float, depth: int = 0) -> Iterator[tuple[str, float]]:
    for group in _groups(text):
        if len(group) < 2 or group[0] != "(" or group[-1] != ")" or depth == MAX_DEPTH:
            yield group, weight
            continue
        inner = group[1:-1]
        words, colon, number = inner.rpartition(":")
        explicit = _number(number) if colon and words else None
        yield from _weighted(inner, weight * EMPHASIS, depth + 1) if explicit is None else _weighted(words, explicit, depth + 1)


def _groups(text: str) -> Iterator[str]:
    """Outermost parentheses with what they hold, and what stands between them."""
    start = depth = 0
    for position, letter in enumerate(text):
        if letter == "(":
            if depth == 0 and position > start:
                yield text[start:position]
                start = position
            depth += 1
        elif letter == ")":
            depth -= 1
            if depth == 0:
                yield text[start : position + 1]
                start = position + 1
    if start < len(text):
        yield text[start:]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _pieces(passage: str) -> Iterator[str | _EmbeddingName]:
    position = 0
    for match in EMBEDDING.finditer(passage):
        if passage[position : match.start()].strip():
            yield passage[position : match.start()]
        yield _EmbeddingName(match[1])
        position = match.end()
    if position < len(passage):
        yield passage[position:]


def _find(name: str, find: FindEmbedding) -> tuple[Tensor | None, str]:
    """The vectors of that name; commas at its end may belong to the sentence."""
    vectors = find(name)
    bare = name.rstrip(",")
    if vectors is None and bare != name and bare:
        return find(bare), name[len(bare) :]
    return vectors, ""
