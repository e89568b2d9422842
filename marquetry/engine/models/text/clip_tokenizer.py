"""The tokenizer of CLIP (Radford et al. 2021): byte-level pair encoding over 49,408 tokens, from the vocabulary that ships here."""

from __future__ import annotations

import functools
import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

VOCABULARY_FILE = Path(__file__).parents[1] / "data" / "clip_bpe_vocab.txt.gz"
START_TOKEN = 49406
END_TOKEN = 49407
MERGES = 49152 - 256 - 2


@functools.cache
def merges() -> tuple[str, ...]:
    """The merges of the pair encoding, in order, as "left right"."""
    with gzip.open(VOCABULARY_FILE, "rt", encoding="utf-8") as file:
        return tuple(file.read().split("\n")[1 : MERGES + 1])


@functools.cache
def vocabulary() -> dict[str, int]:
    """Every token and its number: bytes, bytes that end a word, merges, the two marks."""
    letters = [chr(code) for code in _byte_letters()]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(merge.split()) for merge in merges())]
    return {token: number for number, token in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}


@functools.cache
def _tokenizer() -> Any:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    model = models.BPE(
        vocab=vocabulary(),
        merges=[(left, right) for left, _, right in (merge.partition(" ") for merge in merges())],
        end_of_word_suffix="</w>",
        unk_token="<|endoftext|>",
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    words = Regex(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(words, behavior="removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.add_special_tokens(["<|startoftext|>", "<|endoftext|>"])
    return tokenizer


def tokenize(text: str) -> list[int]:
    """The token numbers of `text`, without marks of start and end, however long it is."""
    return list(_tokenizer().encode(text, add_special_tokens=False).ids)


def detokenize(tokens: Sequence[int]) -> str:
    """The text of token numbers; marks are left out."""
    letters = {chr(code): byte for code, byte in zip(_byte_letters(), _byte_order(), strict=True)}
    names = {number: token for token, number in vocabulary().items() if number < START_TOKEN}
    joined = "".join(names[token].replace("</w>", "\0") for token in tokens if token in names)
    return b"".join(b" " if letter == "\0" else bytes([letters[letter]]) for letter in joined).decode("utf-8", errors="replace").strip()


def _byte_order() -> list[int]:
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return shown + [byte for byte in range(256) if byte not in shown]


def _byte_letters() -> list[int]:
    """The code points that stand for bytes in the vocabulary: printable bytes for themselves, the rest from 256 on."""
    shown = 94 + 12 + 82
    return _byte_order()[:shown] + list(range(256, 256 + 256 - shown))
