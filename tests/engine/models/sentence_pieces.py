"""A small SentencePiece model, written byte by byte as the format says."""

from __future__ import annotations

import struct

MARKS = ["<pad>", "<eos>", "<bos>", "<unk>"]
LLAMA_MARKS = ["<unk>", "<pad>", "</s>", "<bos>"]
KINDS = {"<unk>": 2, "<pad>": 3, "<eos>": 3, "<bos>": 3, "</s>": 3}
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
LETTERS = [chr(code) for code in range(33, 127)] + ["\u2581"]
JOINED = ["at", "\u2581c", "\u2581cat", "\u2581a", "re", "red", "\u2581red", "<s", "in", "kin"]  # in the order in which they are joined
PIECES = [*MARKS, *BYTES, *JOINED, *LETTERS]


def piece_model(marks: list[str] = MARKS, *, prefixed: bool = False) -> bytes:
    """The model, as `tokenizer.model` holds it; `prefixed` if text begins with a space for it."""
    messages = (_piece(piece, number) for number, piece in enumerate([*marks, *PIECES[len(MARKS) :]]))
    normaliser = b"\x1a\x02\x18" + _number(int(prefixed))
    return b"".join(b"\x0a" + _number(len(message)) + message for message in messages) + normaliser


def _piece(piece: str, number: int) -> bytes:
    name = piece.encode("utf-8")
    kind = 6 if piece in BYTES else KINDS.get(piece, 1)
    return b"\x0a" + _number(len(name)) + name + b"\x15" + struct.pack("<f", -float(number)) + b"\x18" + _number(kind)


def _number(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])
