"""Other applications: codes, tokens and what they may know. A session that an application holds is the person's to see and to end."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from marquetry.marketplace.accounts import people, sessions, sso
from marquetry.marketplace.accounts.caller import Caller
from marquetry.marketplace.accounts.errors import TokenInvalid
from marquetry.marketplace.accounts.sessions import Place
from marquetry.marketplace.accounts.sso import SsoClient
from marquetry.server.accounts import sign_in
from marquetry.server.accounts.admission import APPLICATION_SCOPES
from marquetry.server.accounts.service import Accounts
from marquetry.server.accounts.tokens import ACCESS, Tokens


async def authorize(accounts: Accounts, caller: Caller, client_id: str, redirect_uri: str, challenge: str, state: str) -> tuple[str, str]:
    """A code, and where to send the browser with it. Raises AccountMissing and InvalidAccountInput."""
    code = await accounts.write(
        sso.authorize, caller.owner, client_id, redirect_uri, challenge, accounts.clock_ms(), second_factor=caller.second_factor
    )
    query = urlencode({"code": code, **({"state": state} if state else {})})
    return code, f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{query}"


async def check(accounts: Accounts, client_id: str, secret: str) -> SsoClient:
    """The application that calls. Raises WrongCredentials."""
    return await accounts.read(sso.check_client, client_id, secret)


async def exchange(accounts: Accounts, client: SsoClient, code: str, redirect_uri: str, verifier: str, place: Place) -> dict[str, Any]:
    """Tokens for a code. Raises TokenInvalid."""
    given = await accounts.write(sso.exchange, code, client.id, redirect_uri, verifier, accounts.clock_ms())
    person = await accounts.read(people.person, given.user_id or "")
    sign_in.check_standing(person)
    with_second_factor = bool(given.data["second_factor"])
    tokens = await sign_in.open_session(
        accounts, person, place, with_second_factor=with_second_factor, client_id=client.id, how=f"application {client.name}"
    )
    return _said(accounts, tokens)


async def refresh(accounts: Accounts, client: SsoClient, token: str, place: Place) -> dict[str, Any]:
    """The next tokens. Raises TokenInvalid."""
    return _said(accounts, await sign_in.refresh(accounts, token, place, client_id=client.id))


async def validate(accounts: Accounts, client: SsoClient, token: str) -> dict[str, Any]:
    """What an application may know of a token of its own, or of one that a person uses here."""
    try:
        claims = accounts.keys.verify(token, ACCESS)
    except TokenInvalid:
        return {"active": False}
    standing = await accounts.standings.session(str(claims["sid"]), fresh=True)
    if standing is None or standing.ended or standing.suspended or standing.client_id != client.id:
        return {"active": False}
    person = await accounts.read(people.person, standing.user_id)
    return {
        "active": True,
        "sub": person.id,
        "email": person.email,
        "name": person.name,
        "roles": sorted(person.roles),
        "client_id": client.id,
        "exp": claims["exp"],
    }


async def revoke(accounts: Accounts, client: SsoClient, token: str) -> None:
    """End the session that a token of the application belongs to, if there is one."""
    session_id = await _session_of(accounts, client, token)
    if session_id is not None:
        await accounts.write(sessions.end_session, session_id, "revoked", accounts.clock_ms())
        accounts.standings.forget()


async def _session_of(accounts: Accounts, client: SsoClient, token: str) -> str | None:
    found = await accounts.read(sessions.find_by_refresh_token, token)
    if found is not None:
        return found.id if found.client_id == client.id else None
    try:
        session_id = str(accounts.keys.verify(token, ACCESS)["sid"])
    except TokenInvalid:
        return None
    standing = await accounts.standings.session(session_id)
    return session_id if standing is not None and standing.client_id == client.id else None


def _said(accounts: Accounts, tokens: Tokens) -> dict[str, Any]:
    return {
        "access_token": tokens.access,
        "refresh_token": tokens.refresh,
        "expires_in": max(0, (tokens.access_expires_ms - accounts.clock_ms()) // 1000),
        "scope": " ".join(sorted(APPLICATION_SCOPES)),
    }
