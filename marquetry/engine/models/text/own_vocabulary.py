"""Vocabularies that are not ours to ship: read from the weight file itself, or from the tokenizer's file beside it."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.models.weights import Weights

if TYPE_CHECKING:
    from torch import Tensor

MAX_BYTES = 64 * 2**20
INSIDE = ("spiece_model", "tokenizer_json")  # tensors of bytes
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6  # kinds of pieces of a SentencePiece model


def own_vocabulary(path: Path, weights: Weights, prefix: str) -> Any:
    """The tokenizer of the text encoder whose names begin with `prefix`. Raises ModelFormatError that says where one may stand."""
    for name in (f"{above}{inside}" for above in _above(prefix) for inside in INSIDE):
        if name in weights.header and weights.header[name].size_bytes <= MAX_BYTES:
            return _read(_bytes(weights.tensor(name)), path.name)
    folder = path if path.is_dir() else path.parent
    for file in (path.with_suffix(".tokenizer.json"), path.with_suffix(".tokenizer.model"),
                 *(place / name for place in (folder, folder / "tokenizer") for name in ("tokenizer.json", "tokenizer.model"))):  # fmt: skip
        if file.is_file() and file.stat().st_size <= MAX_BYTES:
            return _read(file.read_bytes(), file.name)
    raise ModelFormatError(
        f"{path.name} needs the vocabulary that it was published with: put its tokenizer.json or tokenizer.model beside it, "
        f"as {path.stem}.tokenizer.json or {path.stem}.tokenizer.model, or use a file that holds it as the tensor 'spiece_model'",
        file=path.name,
    )


def _above(prefix: str) -> Iterator[str]:
    """Every beginning of names that `prefix` stands below, the nearest first."""
    parts = prefix.split(".")[:-1]
    for length in range(len(parts), -1, -1):
        yield "".join(f"{part}." for part in parts[:length])


def _bytes(tensor: Tensor) -> bytes:
    return bytes(tensor.flatten().numpy().tobytes())


@functools.lru_cache(maxsize=4)
def _read(content: bytes, source: str) -> Any:
    from tokenizers import Tokenizer

    try:
        if content.lstrip()[:1] == b"{":
            return Tokenizer.from_str(content.decode("utf-8"))
        return sentence_piece(content)
    except Exception as error:  # the tokenizers library raises bare exceptions
        raise ModelFormatError(f"{source} holds no tokenizer that is understood: {error}", file=source) from error


def sentence_piece(content: bytes) -> Any:
    """A SentencePiece model of pair encoding with a fallback to bytes (Kudo and Richardson 2018), as a tokenizer; a start mark comes first."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

    pieces = list(_pieces(content))
    if not pieces:
        raise ValueError("the SentencePiece model has no pieces")
    numbers = {piece: number for number, (piece, _, _) in enumerate(pieces)}
    scores = {piece: score for piece, score, _ in pieces}
    joined = [
        (-scores[piece], number, numbers[piece[:cut]], (piece[:cut], piece[cut:]))
        for number, (piece, _, kind) in enumerate(pieces)
        if kind in (NORMAL, USER_DEFINED)
        for cut in range(1, len(piece))
        if piece[:cut] in numbers and piece[cut:] in numbers
    ]
    unknown = next((piece for piece, _, kind in pieces if kind == UNKNOWN), None)
    merges = [merge for *_, merge in sorted(joined)]
    tokenizer = Tokenizer(models.BPE(vocab=numbers, merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    spaced = normalizers.Replace(" ", "\u2581")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), spaced]) if _prefixed(content) else spaced
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(piece, normalized=False, special=True) for piece, _, kind in pieces if kind == CONTROL])
    tokenizer.add_tokens([AddedToken(piece, normalized=False) for piece, _, kind in pieces if kind == USER_DEFINED])
    start = next((piece for piece in ("<bos>", "<s>") if piece in numbers), None)
    if start is not None:
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{start} $A", special_tokens=[(start, numbers[start])])
    return tokenizer


def _pieces(content: bytes) -> Iterator[tuple[str, float, int]]:
    """(piece, score, kind) of each entry of a model: field 1 of the message, whose fields are 1, 2 and 3."""
    for number, value in _fields(content):
        if number == 1 and isinstance(value, bytes):
            piece = dict(_fields(value))
            (score,) = struct.unpack("<f", piece.get(2, b"\0\0\0\0"))
            yield piece[1].decode("utf-8"), score, piece.get(3, NORMAL)


def _prefixed(content: bytes) -> bool:
    """Whether text is taken to begin with a space: field 3 of the normaliser, which is field 3 of the message; yes where nothing is said."""
    described = next((value for number, value in _fields(content) if number == 3 and isinstance(value, bytes)), b"")
    return bool(dict(_fields(described)).get(3, 1))


def _fields(content: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protocol buffer message: numbers for varints, bytes for all else."""
    place = 0
    while place < len(content):
        key, place = _varint(content, place)
        match key & 7:
            case 0:
                value, place = _varint(content, place)
                yield key >> 3, value
            case 1 | 5 as kind:
                length = 8 if kind == 1 else 4
                yield key >> 3, content[place : place + length]
                place += length
            case 2:
                length, place = _varint(content, place)
                if place + length > len(content):
                    raise ValueError("the SentencePiece model is cut short")
                yield key >> 3, content[place : place + length]
                place += length
            case kind:
                raise ValueError(f"not a SentencePiece model: a field of kind {kind}")


def _varint(content: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = content[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
    raise ValueError("not a SentencePiece model: a number without an end")
