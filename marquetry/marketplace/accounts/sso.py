"""Sign-in for other applications: authorization codes with PKCE (RFC 6749, RFC 7636) for applications that the operator registered."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson
from sqlalchemy import Connection, Row, delete, insert, select

from marquetry.marketplace.accounts import one_time
from marquetry.marketplace.accounts.errors import AccountMissing, InvalidAccountInput, TokenInvalid, WrongCredentials
from marquetry.marketplace.accounts.one_time import Given, Purpose
from marquetry.marketplace.accounts.opaque import hashed, new_id, new_token, same
from marquetry.marketplace.accounts.tables import sso_clients

CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
MAX_URIS = 20
MAX_URI_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class SsoClient:
    """Another application. `confidential`: it has a secret. `logout_uri` is told when a person's session is over."""

    id: str
    name: str
    redirect_uris: tuple[str, ...]
    logout_uri: str
    confidential: bool
    created_ms: int


def add_client(
    connection: Connection, name: str, redirect_uris: Sequence[str], now_ms: int, *, logout_uri: str = "", confidential: bool = True
) -> tuple[SsoClient, str]:
    """Register an application. Gives its secret, which is shown this one time; empty for one that can't keep any."""
    if not name.strip() or len(name) > 200 or not 0 < len(redirect_uris) <= MAX_URIS:
        raise InvalidAccountInput(f"an application has a name and 1 to {MAX_URIS} addresses to go back to", field="redirect_uris")
    for uri in (*redirect_uris, *([logout_uri] if logout_uri else [])):
        _check_uri(uri)
    id, secret = new_id("app"), new_token("mqa") if confidential else ""
    connection.execute(
        insert(sso_clients).values(
            id=id,
            name=name.strip(),
            secret_hash=hashed(secret) if confidential else None,
            redirect_uris=orjson.dumps(list(redirect_uris)),
            logout_uri=logout_uri,
            created_ms=now_ms,
        )
    )
    return client(connection, id), secret


def client(connection: Connection, client_id: str) -> SsoClient:
    """Raises AccountMissing."""
    row = connection.execute(select(sso_clients).where(sso_clients.c.id == client_id)).first()
    if row is None:
        raise AccountMissing(f"no application '{client_id[:64]}' is registered")
    return _client(row)


def clients(connection: Connection) -> list[SsoClient]:
    return [_client(row) for row in connection.execute(select(sso_clients).order_by(sso_clients.c.created_ms)).all()]


def remove_client(connection: Connection, client_id: str) -> None:
    """Raises AccountMissing."""
    if not connection.execute(delete(sso_clients).where(sso_clients.c.id == client_id)).rowcount:
        raise AccountMissing(f"no application '{client_id[:64]}' is registered")


def authorize(
    connection: Connection, user_id: str, client_id: str, redirect_uri: str, challenge: str, now_ms: int, *, second_factor: bool = False
) -> str:
    """A code that the application exchanges for tokens. Raises AccountMissing and InvalidAccountInput."""
    known = client(connection, client_id)
    if redirect_uri not in known.redirect_uris:
        raise InvalidAccountInput("redirect_uri is none of those that the application registered", field="redirect_uri")
    if not CHALLENGE.fullmatch(challenge):
        raise InvalidAccountInput("code_challenge must be the S256 challenge of a verifier: 43 characters", field="code_challenge")
    return one_time.issue(
        connection, Purpose.SSO_CODE, now_ms, user_id=user_id,
        client_id=client_id, redirect_uri=redirect_uri, challenge=challenge, second_factor=second_factor,
    )  # fmt: skip


def exchange(connection: Connection, code: str, client_id: str, redirect_uri: str, verifier: str, now_ms: int) -> Given | TokenInvalid:
    """What a code stood for. It is used up by any attempt, so an error is given, not raised: that must be kept."""
    try:
        given = one_time.redeem(connection, code, Purpose.SSO_CODE, now_ms)
    except TokenInvalid as error:
        return error
    fits = same(str(given.data["client_id"]), client_id) and same(str(given.data["redirect_uri"]), redirect_uri)
    if not fits or not VERIFIER.fullmatch(verifier) or not same(challenge_of(verifier), str(given.data["challenge"])):
        return TokenInvalid("the code was given for something else; begin again")
    return given


def check_client(connection: Connection, client_id: str, secret: str) -> SsoClient:
    """The application, if the secret is its own; one without a secret needs none. Raises WrongCredentials."""
    row = connection.execute(select(sso_clients).where(sso_clients.c.id == client_id)).first()
    if row is None or (row.secret_hash is not None and not same(row.secret_hash, hashed(secret))):
        raise WrongCredentials("client_id or client_secret are wrong")
    return _client(row)


def challenge_of(verifier: str) -> str:
    """The S256 challenge of a verifier."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def _check_uri(uri: str) -> None:
    parts = urlsplit(uri)
    local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
    if len(uri) > MAX_URI_CHARACTERS or not parts.hostname or parts.fragment or not (parts.scheme == "https" or local):
        raise InvalidAccountInput(f"'{uri[:100]}' is not an https address without a fragment", field="redirect_uris")


def _client(row: Row[Any]) -> SsoClient:
    uris = tuple(orjson.loads(row.redirect_uris))
    return SsoClient(row.id, row.name, uris, row.logout_uri, row.secret_hash is not None, row.created_ms)
