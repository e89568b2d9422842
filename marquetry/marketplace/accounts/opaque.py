"""Opaque tokens: long random texts that only their holder has; kept here is a hash, from which nobody makes the token again."""

from __future__ import annotations

import hashlib
import secrets

TOKEN_BYTES = 32


def new_token(prefix: str) -> str:
    """A token that can't be guessed. `prefix` says what it is for, so that a leaked one is recognised."""
    return f"{prefix}_{secrets.token_urlsafe(TOKEN_BYTES)}"


def new_id(prefix: str) -> str:
    """An id that tells nothing."""
    return f"{prefix}_{secrets.token_hex(12)}"


def hashed(token: str) -> str:
    """What is kept of a token. Tokens are random and long, so one round is enough."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def same(left: str, right: str) -> bool:
    """Whether two texts are equal, in a time that does not tell where they differ."""
    return secrets.compare_digest(left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass"))
