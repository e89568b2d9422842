"""Admission: who a request comes from, by token, key, cookie or ticket; and whether they may do this, and not too often."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from aiohttp import hdrs, web

from marquetry.marketplace.accounts import api_keys, one_time
from marquetry.marketplace.accounts.api_keys import PREFIXES, KeyHolder
from marquetry.marketplace.accounts.caller import Caller
from marquetry.marketplace.accounts.errors import AccountSuspended, CsrfRefused, SignInNeeded, TokenInvalid
from marquetry.marketplace.accounts.one_time import Purpose
from marquetry.marketplace.accounts.opaque import hashed, same
from marquetry.marketplace.accounts.rates import refused
from marquetry.marketplace.accounts.roles import EVERYTHING, STAFF
from marquetry.marketplace.accounts.sessions import Standing
from marquetry.marketplace.accounts.signing import Keys
from marquetry.marketplace.errors import MarketError, Unauthenticated
from marquetry.server.accounts.cookies import ACCESS_COOKIE, CSRF_COOKIE, CSRF_HEADER
from marquetry.server.accounts.origins import address_of, within
from marquetry.server.accounts.quota import ALLOWANCE, PLAN_RATE, Calls
from marquetry.server.accounts.service import Accounts
from marquetry.server.accounts.tokens import ACCESS
from marquetry.server.caller import CALLER
from marquetry.server.http.access import ACCESS as ROUTES
from marquetry.server.http.access import SAFE_METHODS, Access
from marquetry.server.http.origin import OriginGuard

APPLICATION_SCOPES = frozenset({"read", "run"})  # of sessions that another application holds for a person
KEY_STARTS = tuple(f"{prefix}_" for prefix in PREFIXES.values())
SLOW_CLASSES = frozenset({"sign_in", "register", "reset"})  # counted by address, whoever is signed in
MOST_CHECKED = 10_000
SIGN_IN = "sign in, or send a key: Authorization: Bearer mq_..."


class Gatekeeper:
    """`admit` is what the gate calls for every request."""

    def __init__(self, accounts: Accounts, guard: OriginGuard) -> None:
        self._accounts = accounts
        self._guard = guard
        self.calls = Calls(accounts)
        self._checked: OrderedDict[str, tuple[Keys, Mapping[str, Any]]] = OrderedDict()

    async def admit(self, request: web.Request) -> None:
        """Find out who calls and put that into the request. Raises Unauthenticated, NotAllowed or TooManyRequests."""
        access = request.app[ROUTES].get(request.match_info.route)
        if access is None:  # there is nothing here, which is told to anybody
            return
        address = address_of(request, self._accounts.settings.trusted_proxies)
        try:
            caller = await self._caller(request, access, address)
        except MarketError:
            if not access.public:
                await self._limit(request, "anonymous", f"address:{address}", None)
                raise
            caller = None
        await self._slow_down(request, access, caller, address)
        if caller is None:
            if not access.public:
                raise Unauthenticated(SIGN_IN)
            return
        request[CALLER] = caller
        self._check(request, access, caller)
        if not access.public:
            allowance = request.app.get(ALLOWANCE)
            most = self._accounts.settings.monthly_calls if allowance is None else await allowance(caller)
            await self.calls.count(caller.owner, most)

    async def _caller(self, request: web.Request, access: Access, address: str) -> Caller | None:
        """Who calls; None for who shows nothing. Raises Unauthenticated and NotAllowed for who shows something that is no good."""
        scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme:
            if scheme.lower() != "bearer" or not token.strip():
                raise TokenInvalid("the header Authorization must be: Bearer, a space, and a token or a key")
            return await self._of_token(token.strip(), access, address)
        ticket = request.query.get("ticket") if _opens_socket(request) else None
        if ticket is not None:
            return await self._of_ticket(ticket, access, address)
        cookie = request.cookies.get(ACCESS_COOKIE)
        return None if cookie is None else await self._of_cookie(request, cookie, access, address)

    async def _of_token(self, token: str, access: Access, address: str) -> Caller:
        if token.startswith(KEY_STARTS):
            return await self.of_key(token, fresh=access.fresh)
        return await self._of_session(str(self._claims(token)["sid"]), access.fresh, address)

    async def _of_cookie(self, request: web.Request, cookie: str, access: Access, address: str) -> Caller:
        claims = self._claims(cookie)
        if _opens_socket(request) and not self._guard.trusts(request):
            raise CsrfRefused("pages of other sites can't open sockets with your cookies; use a ticket")
        if request.method not in SAFE_METHODS:
            check_double_submit(request)
            if not same(str(claims.get("csrf")), hashed(request.headers.get(CSRF_HEADER, ""))):
                raise CsrfRefused(f"the header {CSRF_HEADER} is of another sign-in; read the cookie {CSRF_COOKIE} again")
        return await self._of_session(str(claims["sid"]), access.fresh, address)

    def _claims(self, token: str) -> Mapping[str, Any]:
        """What an access token says. One that was checked with the same keys is only asked whether its time is over. Raises TokenInvalid."""
        keys = self._accounts.keys
        known = self._checked.get(token)
        if known is not None and known[0] is keys and known[1]["exp"] * 1000 > self._accounts.clock_ms():
            return known[1]
        claims = keys.verify(token, ACCESS)
        self._checked[token] = keys, claims
        if len(self._checked) > MOST_CHECKED:
            self._checked.popitem(last=False)
        return claims

    async def _of_ticket(self, ticket: str, access: Access, address: str) -> Caller:
        given = await self._accounts.write(one_time.redeem, ticket, Purpose.SOCKET, self._accounts.clock_ms())
        if "key" in given.data:
            return self._of_holder(await self._accounts.read(api_keys.holder_of_id, str(given.data["key"])))
        return await self._of_session(str(given.data["session"]), access.fresh, address)

    async def of_key(self, key: str, *, fresh: bool = False) -> Caller:
        """Whom an API key or a service token calls for. Raises TokenInvalid and AccountSuspended."""
        return self._of_holder(await self._accounts.standings.holder(key, fresh=fresh))

    def _of_holder(self, holder: KeyHolder | None) -> Caller:
        now_ms = self._accounts.clock_ms()
        if holder is None or holder.key.revoked_ms is not None:
            raise TokenInvalid("this key is not known, or was revoked")
        if holder.key.expires_ms is not None and holder.key.expires_ms <= now_ms:
            raise TokenInvalid("this key has expired; make another one")
        if holder.suspended:
            raise AccountSuspended("this account was suspended")
        self._accounts.standings.touch(holder.key.id, now_ms)
        owner = holder.key.user_id or f"service_{holder.key.id}"
        return Caller(owner, holder.roles, holder.key.scopes, key_id=holder.key.id)

    async def _of_session(self, session_id: str, fresh: bool, address: str) -> Caller:
        standing = await self._accounts.standings.session(session_id, fresh=fresh)
        if standing is None or standing.ended or standing.expires_ms <= self._accounts.clock_ms():
            raise TokenInvalid("the session is over; sign in again")
        if standing.suspended:
            raise AccountSuspended("this account was suspended")
        scopes = frozenset({EVERYTHING}) if standing.client_id is None else APPLICATION_SCOPES
        roles = self._roles(standing, address)
        return Caller(
            standing.user_id,
            roles,
            scopes,
            session_id=standing.session_id,
            second_factor=standing.second_factor,
            dormant=standing.roles - roles,
        )

    def _roles(self, standing: Standing, address: str) -> frozenset[str]:
        """The roles that are in force: power over others needs a second factor, and where the operator wants it, a known network."""
        settings = self._accounts.settings
        if settings.admin_second_factor and not standing.second_factor:
            return standing.roles - STAFF
        if settings.admin_addresses and not within(address, tuple(settings.admin_addresses)):
            return standing.roles - STAFF
        return standing.roles

    def _check(self, request: web.Request, access: Access, caller: Caller) -> None:
        if access.public:
            return
        caller.require_scope(access.scope_for(request.method))
        if access.person and not caller.is_person:
            raise SignInNeeded("a key can't do this; sign in with e-mail and password")
        if access.permission:
            caller.require(access.permission)

    async def _slow_down(self, request: web.Request, access: Access, caller: Caller | None, address: str) -> None:
        name = access.rate_for(request.method)
        if caller is None or name in SLOW_CLASSES:
            await self._limit(request, name if name in SLOW_CLASSES else "anonymous", f"address:{address}", None)
        else:
            await self._limit(request, name, caller.owner, caller)

    async def _limit(self, request: web.Request, name: str, whose: str, caller: Caller | None) -> None:
        plan = request.app.get(PLAN_RATE) if caller is not None else None
        rate = await plan(caller, name) if plan is not None and caller is not None else None
        now_us = self._accounts.clock_ms() * 1000
        wait_us = await self._accounts.buckets.take(f"{name}:{whose}", rate or self._accounts.settings.rate(name), now_us)
        if wait_us:
            raise refused(wait_us, "too many requests")


def check_double_submit(request: web.Request) -> None:
    """Raises CsrfRefused unless header and cookie say the same."""
    told, kept = request.headers.get(CSRF_HEADER, ""), request.cookies.get(CSRF_COOKIE, "")
    if not told or not same(told, kept):
        raise CsrfRefused(f"send the value of the cookie {CSRF_COOKIE} in the header {CSRF_HEADER}")


def _opens_socket(request: web.Request) -> bool:
    return request.headers.get(hdrs.UPGRADE, "").lower() == "websocket"
