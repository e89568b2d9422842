"""Access: who may call a route where the server keeps accounts. Declared with the route; the gate sees to it before any handler runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from aiohttp import web

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Access:
    """Without more, a route needs a caller, whose key needs the scope `read` to look and `run` to change something.

    `public`: anybody, known or not. `permission`: what a role of the caller must permit. `scope`: what a key must be allowed. `person`: only
    who signed in, no key. `fresh`: how the caller stands is looked up anew, for routes that move money or give power. `rate`: the bucket that
    calls are taken from, by default `read` or `write`. `foreign`: another site's page may lead here, so it proves itself in its own way.
    """

    public: bool = False
    permission: str = ""
    scope: str = ""
    person: bool = False
    fresh: bool = False
    rate: str = ""
    foreign: bool = False

    def scope_for(self, method: str) -> str:
        return self.scope or ("read" if method in SAFE_METHODS else "run")

    def rate_for(self, method: str) -> str:
        return self.rate or ("read" if method in SAFE_METHODS else "write")


CALLER = Access()
PUBLIC = Access(public=True)
Admission: TypeAlias = Callable[[web.Request], Awaitable[None]]
ADMISSION = web.AppKey[Admission]("admission")
"""Lets a request in, or raises; there where the server keeps accounts."""
ACCESS = web.AppKey[Mapping[web.AbstractRoute, Access]]("access")
"""How each route of the router may be called."""
