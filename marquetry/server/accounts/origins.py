"""Where a request comes from: its address, also behind proxies that the operator trusts, and whether it came encrypted."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from aiohttp import hdrs, web

from marquetry.marketplace.accounts.sessions import Place


def place_of(request: web.Request, trusted: Sequence[str]) -> Place:
    """Address and program of the caller."""
    return Place(address_of(request, trusted), request.headers.get(hdrs.USER_AGENT, ""))


def address_of(request: web.Request, trusted: Sequence[str]) -> str:
    """The address of the caller: the last one that no trusted proxy wrote itself."""
    address = request.remote or ""
    if not trusted or not within(address, tuple(trusted)):
        return address
    for told in reversed(request.headers.get(hdrs.X_FORWARDED_FOR, "").split(",")):
        candidate = told.strip()
        if not _is_address(candidate):
            break
        address = candidate
        if not within(address, tuple(trusted)):
            break
    return address


def is_encrypted(request: web.Request, trusted: Sequence[str]) -> bool:
    """Whether the caller's connection is, as far as a trusted proxy says."""
    if trusted and within(request.remote or "", tuple(trusted)):
        return request.headers.get(hdrs.X_FORWARDED_PROTO, request.scheme).strip().lower() == "https"
    return request.secure


@lru_cache(maxsize=4096)
def within(address: str, networks: tuple[str, ...]) -> bool:
    """Whether an address is in one of the networks."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in ipaddress.ip_network(network, strict=False) for network in networks)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
