"""Breaches: whether a password is known from one. Only the first five digits of its hash are sent, so that nobody learns it."""

from __future__ import annotations

import hashlib
import logging

import aiohttp

from marquetry.marketplace.accounts.errors import WeakPassword

logger = logging.getLogger(__name__)
TIMEOUT_S = 3
MAX_BYTES = 2_000_000


async def check_breaches(url: str, password: str) -> None:
    """Ask a range service (`url` ends where the five digits begin). One that does not answer stops nobody. Raises WeakPassword."""
    digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url + digest[:5], headers={"Add-Padding": "true"}) as answer,
        ):
            answer.raise_for_status()
            lines = (await answer.content.read(MAX_BYTES)).decode("ascii", "replace").splitlines()
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        logger.warning("the service for breached passwords does not answer: %s", type(error).__name__)
        return
    for line in lines:
        rest, _, count = line.strip().partition(":")
        if rest.upper() == digest[5:] and count.strip() != "0":
            raise WeakPassword("choose another password: this one is known from a breach", reasons=["it is known from a breach"])
