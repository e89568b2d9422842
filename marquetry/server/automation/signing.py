"""Signing: webhooks as Standard Webhooks 1.0 has them (standardwebhooks.com): HMAC-SHA256 over id, timestamp and body."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping

from marquetry.server.automation.errors import AutomationError
from marquetry.server.jobs.token import random_bytes

PREFIX = "whsec_"
SECRET_BYTES = 32
TOLERANCE_S = 300


def new_secret() -> str:
    """A secret as receivers configure it."""
    return PREFIX + base64.b64encode(random_bytes(SECRET_BYTES)).decode()


def checked_secret(text: str) -> str:
    """A secret that the owner brings along. Raises AutomationError."""
    try:
        raw = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not text.startswith(PREFIX) or not 24 <= len(raw) <= 64:
        raise AutomationError("a secret is whsec_ and then base64 of 24 to 64 random bytes")
    return text


def signed_headers(id: str, timestamp_s: int, body: bytes, secrets: Iterable[str]) -> dict[str, str]:
    """The three headers; one signature for each secret that is valid now."""
    signatures = " ".join(f"v1,{_signature(secret, id, timestamp_s, body)}" for secret in secrets)
    return {"webhook-id": id, "webhook-timestamp": str(timestamp_s), "webhook-signature": signatures}


def is_genuine(headers: Mapping[str, str], body: bytes, secret: str, now_s: int) -> bool:
    """What a receiver checks: one signature fits, and the message is not old."""
    id, timestamp, given = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not timestamp.isdecimal() or len(timestamp) > 12 or abs(now_s - int(timestamp)) > TOLERANCE_S:
        return False
    wanted = _signature(secret, id, int(timestamp), body)
    return any(hmac.compare_digest(entry.encode(), f"v1,{wanted}".encode()) for entry in given.split(" "))


def _signature(secret: str, id: str, timestamp_s: int, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.new(key, f"{id}.{timestamp_s}.".encode() + body, hashlib.sha256).digest()).decode()
