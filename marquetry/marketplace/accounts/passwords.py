"""Passwords: hashed with argon2id. These functions take tens of milliseconds and memory: they run in threads, a few at a time."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MEMORY_KIB = 19 * 1024  # the least that OWASP's password storage page names, with two passes
PASSES = 2
NOBODYS = "no account has this password"


def hash_password(password: str) -> str:
    """What is kept of a password."""
    return _hasher().hash(password)


def verify_password(kept: str | None, password: str) -> bool:
    """Whether it is the password. Without one to compare, the same work is done in vain, so that the time tells nothing."""
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return _hasher().verify(kept or _nobodys_hash(), password) and kept is not None
    except (VerificationError, InvalidHashError):
        return False


def is_outdated(kept: str) -> bool:
    """Whether a hash was made with less than is used now, and is to be made again at the next sign-in."""
    return _hasher().check_needs_rehash(kept)


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=1)


@cache
def _nobodys_hash() -> str:
    return hash_password(NOBODYS)
