"""Words: texts as they are indexed and asked for, the same in every engine: small letters without marks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

WORD = re.compile(r"[^\W_]+")
MAX_WORDS = 16
MAX_WORD_CHARACTERS = 40
MAX_INDEXED_CHARACTERS = 100_000


def words_of(text: str) -> list[str]:
    """The words of a text, in their order."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(letter))
    return [word[:MAX_WORD_CHARACTERS] for word in WORD.findall(plain)]


def indexed(*texts: str | Iterable[str]) -> str:
    """Texts as one line of words."""
    whole = " ".join(text if isinstance(text, str) else " ".join(text) for text in texts)
    return " ".join(words_of(whole[:MAX_INDEXED_CHARACTERS]))


def asked(text: str) -> list[str]:
    """The words that somebody looks for, each once."""
    return list(dict.fromkeys(words_of(text[:1000])))[:MAX_WORDS]
