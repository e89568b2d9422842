"""Tokenizers of text encoders beside CLIP's, from the vocabularies that ship here."""

from __future__ import annotations

import functools
import gzip
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "data"
T5_END, T5_PAD = 1, 0
QWEN2_SPECIALS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>",
    "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
    "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>",
    "<tool_response>", "</tool_response>", "<think>", "</think>",
)  # fmt: skip
QWEN2_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


@functools.cache
def t5() -> Any:
    """T5 v1.1's unigram tokenizer (Raffel et al. 2020) over 32,100 pieces; no mark of the end is added."""
    from tokenizers import Tokenizer

    return Tokenizer.from_str(_read("t5_tokenizer.json.gz"))


@functools.cache
def qwen2() -> Any:
    """Qwen2's byte-level pair encoding over 151,643 tokens and its marks."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    merges = [(left, right) for left, _, right in (line.partition(" ") for line in _read("qwen2_merges.txt.gz").splitlines())]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet(), key=_byte_order)
    vocabulary = {token: number for number, token in enumerate([*letters, *(left + right for left, right in merges)])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(QWEN2_WORDS), behavior="isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in QWEN2_SPECIALS])
    return tokenizer


def _byte_order(letter: str) -> tuple[bool, int]:
    """Printable bytes stand for themselves and come first; the others follow in the order of their stand-ins."""
    return ord(letter) >= 256, ord(letter)


def _read(name: str) -> str:
    with gzip.open(DATA / name, "rt", encoding="utf-8", newline="") as file:
        return file.read()
