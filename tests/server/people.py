"""People for tests of a server with accounts: added without mails, signed in over HTTP."""

from __future__ import annotations

import email
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.policy import default
from functools import cache
from pathlib import Path
from typing import Any

from marquetry.marketplace.accounts import people
from marquetry.marketplace.accounts.passwords import hash_password
from marquetry.marketplace.accounts.people import NewPerson
from marquetry.server.accounts.key import ACCOUNTS
from marquetry.server.accounts.service import Accounts
from tests.server.peer import Peer, served

PASSWORD = "violet Crane 7 bends"


@dataclass
class Somebody:
    """A person who signed in. `headers` carry the access token."""

    id: str
    email: str
    peer: Peer
    tokens: dict[str, Any] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}

    async def json(self, method: str, path: str, status: int = 200, headers: dict[str, str] | None = None, **request: Any) -> Any:
        """As `Peer.json`, as this person."""
        return await self.peer.json(method, path, status, headers={**self.headers, **(headers or {})}, **request)

    async def key(self, *scopes: str, **more: Any) -> dict[str, str]:
        """The headers of a new API key."""
        made = await self.json(
            "POST", "/api/v1/settings/api-keys", 201, json={"name": "test", "scopes": list(scopes) or ["read", "run"], **more}
        )
        return {"Authorization": f"Bearer {made['key']}"}


@cache
def kept_password() -> str:
    return hash_password(PASSWORD)


def accounts(peer: Peer) -> Accounts:
    return peer.application[ACCOUNTS]


@asynccontextmanager
async def with_accounts(data: Path, *, settings: dict[str, Any] | None = None, **chosen: Any) -> AsyncIterator[Peer]:
    """A server with accounts whose rates get in no test's way, unless it sets some."""
    async with served(data, accounts=generous(settings), **chosen) as peer:
        yield peer


def generous(settings: dict[str, Any] | None = None) -> dict[str, Any]:
    """Settings of accounts, with rates that nobody reaches."""
    rates = dict.fromkeys(("sign_in", "register", "reset", "anonymous", "read", "write", "run", "upload"), "10000/s")
    given = {"enabled": True, "admin_second_factor": False, **(settings or {})}
    given["rates"] = {**rates, **given.get("rates", {})}
    return given


async def add(peer: Peer, name: str, *roles: str) -> Somebody:
    """A person with PASSWORD, signed in."""
    address = f"{name}@example.org"
    new = NewPerson(
        email=address, name=name.capitalize(), password_hash=kept_password(), email_confirmed=True, roles=frozenset({"user", *roles})
    )
    person = await accounts(peer).write(people.add_person, new, accounts(peer).clock_ms())
    somebody = Somebody(person.id, address, peer)
    somebody.tokens = await log_in(peer, address)
    return somebody


async def log_in(peer: Peer, address: str, password: str = PASSWORD, status: int = 200, **more: Any) -> Any:
    return await peer.json("POST", "/api/v1/auth/login", status, json={"email": address, "password": password, **more})


async def mails(peer: Peer, data: Path) -> list[tuple[str, str, str]]:
    """Recipient, subject and token of each mail so far."""
    await accounts(peer).background.settled()
    found = []
    for path in sorted((data / "mail").glob("*.eml")):
        message = email.message_from_bytes(path.read_bytes(), policy=default)
        body = message.get_body(("plain",))
        token = re.search(r"#(?:token|change)=(\S+)", "" if body is None else body.get_content())
        found.append((str(message["To"]), str(message["Subject"]), "" if token is None else token[1]))
    return found
