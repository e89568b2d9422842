"""Which passwords are taken: long, mixed or very long, and nothing that is guessed first. Every reason is told at once."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

from marquetry.marketplace.accounts.errors import WeakPassword

MIN_CHARACTERS, MAX_CHARACTERS = 12, 256
LONG_CHARACTERS = 20  # from here on a password may be all of one kind, as a sentence is
MIN_KINDS = 3
MIN_DIFFERENT = 5
PLAIN = str.maketrans("@40$5!1|3780€", "aaossiiletboe")
ORDERS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
)


def check_password(password: str, *, email: str = "", name: str = "") -> None:
    """Raises WeakPassword with all that is wrong."""
    reasons = list(_reasons(password, email, name))
    if reasons:
        raise WeakPassword(f"choose another password: {'; '.join(reasons)}", reasons=reasons)


def _reasons(password: str, email: str, name: str) -> Iterator[str]:
    if len(password) < MIN_CHARACTERS:
        yield f"it needs at least {MIN_CHARACTERS} characters"
    if len(password) > MAX_CHARACTERS:
        yield f"it may have at most {MAX_CHARACTERS} characters"
        return
    if len(password) < LONG_CHARACTERS and _kinds(password) < MIN_KINDS:
        yield f"it needs three of small letters, capitals, digits and other characters, or {LONG_CHARACTERS} characters in all"
    if len(set(password)) < MIN_DIFFERENT:
        yield f"it needs at least {MIN_DIFFERENT} different characters"
    lowered = unicodedata.normalize("NFKC", password).casefold()
    for word in _own_words(email, name):
        if word in lowered:
            yield "it must not contain your name or e-mail address"
            break
    if is_common(password):
        yield "it is a variation of one that is guessed first"


def is_common(password: str) -> bool:
    """Whether it is a word from the list with the usual ornaments, a run of neighbouring keys, or something repeated."""
    lowered = unicodedata.normalize("NFKC", password).casefold()
    bare = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", lowered)
    forms = {lowered, bare, lowered.translate(PLAIN), bare.translate(PLAIN), re.sub(r"[\W\d_]", "", lowered)}
    return any(_is_guessed(form) for form in forms if form) or _is_run(lowered)


def _is_guessed(text: str) -> bool:
    period = (text + text).find(text, 1)  # the length of the part that it repeats
    part = text[:period]
    rest = re.sub(r"[\W\d_]+", "", part)
    return rest in _words() or (len(part) <= 4 and period < len(text)) or _parted(rest)


def _parted(text: str) -> bool:
    """Whether it is two words of the list, one after the other."""
    words = _words()
    return any(text[:place] in words and text[place:] in words for place in range(3, len(text) - 2))


def _is_run(text: str) -> bool:
    return any(text[:10] in order or text[:10] in order[::-1] for order in ORDERS if len(text) >= 10)


def _kinds(password: str) -> int:
    tests = (str.islower, str.isupper, str.isdigit, lambda character: not character.isalnum())
    return sum(any(test(character) for character in password) for test in tests)


def _own_words(email: str, name: str) -> list[str]:
    local, _, domain = email.casefold().partition("@")
    words = [local, domain.partition(".")[0], *re.split(r"[\W_]+", name.casefold())]
    return [word for word in words if len(word) >= 4]


@cache
def _words() -> frozenset[str]:
    text = files("marquetry.marketplace.accounts").joinpath("common_words.json").read_text(encoding="utf-8")
    return frozenset(json.loads(text))
