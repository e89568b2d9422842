"""Who may call: pages of other sites may not, and a server on this machine only answers to names of this machine (DNS rebinding)."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from marquetry.server.http.access import SAFE_METHODS
from marquetry.server.http.errors import ForbiddenOrigin

ALLOWED_HEADERS = (
    "Content-Type, Authorization, Comfy-User, Idempotency-Key, Prefer, Last-Event-ID, X-Request-ID, X-CSRF-Token, X-All-Owners"
)


class OriginGuard:
    """`cors_origin` names the sites whose pages may call, with commas between ("*": every one). `loopback_only`: the server listens on this
    machine only."""

    def __init__(self, cors_origin: str, loopback_only: bool) -> None:
        self.cors_origin = cors_origin
        self.origins = tuple(origin.strip().rstrip("/") for origin in cors_origin.split(",") if origin.strip())
        self.loopback_only = loopback_only

    def check(self, request: web.Request, *, foreign: bool = False) -> None:
        """Raises ForbiddenOrigin. `foreign`: pages of other sites may lead here."""
        headers = request.headers
        host = headers.get(hdrs.HOST, "")
        loopback = is_loopback(host)
        if self.loopback_only and not loopback:
            raise ForbiddenOrigin(
                f"this server answers only to names of this machine such as 127.0.0.1 and localhost, not to '{host[:100]}'; start it with --listen to allow others"
            )
        if self.cors_origin or foreign:
            return
        origin = headers.get(hdrs.ORIGIN)
        if origin is not None and loopback and not _same(origin, host):
            raise ForbiddenOrigin(f"pages of {origin[:100]} may not call this server; --enable-cors-header allows it")
        if headers.get("Sec-Fetch-Site") == "cross-site" and (request.method not in SAFE_METHODS or headers.get(hdrs.UPGRADE)):
            raise ForbiddenOrigin("pages of other sites may not call this server; --enable-cors-header allows it")

    def trusts(self, request: web.Request) -> bool:
        """Whether the page that calls, if one does, is of this site or of one that may call with a person's cookies."""
        origin = request.headers.get(hdrs.ORIGIN)
        return origin is None or origin in self.origins or _same(origin, request.headers.get(hdrs.HOST, ""))

    def headers(self, origin: str | None = None) -> dict[str, str]:
        """What tells a browser that pages of the allowed sites may read the answers; of several, the one that calls."""
        if not self.origins:
            return {}
        if len(self.origins) > 1 and origin not in self.origins:
            return {"Vary": "Origin"}
        allowed = {
            "Access-Control-Allow-Origin": self.origins[0] if len(self.origins) == 1 else origin or "",
            "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE, OPTIONS",
            "Access-Control-Allow-Headers": ALLOWED_HEADERS,
            "Access-Control-Expose-Headers": "Location, X-Request-ID, Preference-Applied, Retry-After",
        }
        if self.origins != ("*",):
            allowed |= {"Access-Control-Allow-Credentials": "true", "Vary": "Origin"}
        return allowed


@lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Whether a Host header names this machine itself."""
    name = _name(host)
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _same(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return False
    netloc = parts.netloc.lower()
    if netloc == host.lower():
        return True
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return _name(netloc) == _name(host) and netloc != "" and _port(host, default) == (port or default)


def _port(host: str, default: int | None) -> int | None:
    text = host.rpartition("]")[2] if host.startswith("[") else host
    digits = text.partition(":")[2]
    return int(digits) if digits.isdecimal() else default
