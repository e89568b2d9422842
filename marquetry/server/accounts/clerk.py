"""Clerk: its messages, checked by their signature (the Standard Webhooks scheme), change accounts by their external id."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from marquetry.marketplace.accounts import people, sessions
from marquetry.marketplace.accounts.email_address import checked_email, email_key
from marquetry.marketplace.accounts.errors import InvalidAccountInput, ProviderMissing, TokenInvalid
from marquetry.marketplace.accounts.people import NewPerson
from marquetry.server.accounts.service import Accounts
from marquetry.server.http.body import parse_json

if TYPE_CHECKING:
    from sqlalchemy import Connection

TOLERANCE_MS = 300_000


async def take(accounts: Accounts, headers: Mapping[str, str], body: bytes) -> None:
    """Do what a message says. Raises ProviderMissing, TokenInvalid, InvalidAccountInput, AccountConflict."""
    secret = accounts.settings.clerk_webhook_secret
    if secret is None:
        raise ProviderMissing("Clerk is not set up; an operator sets accounts.clerk_webhook_secret to the signing secret of the webhook")
    check_signature(secret.get_secret_value(), headers, body, accounts.clock_ms())
    event = parse_json(body)
    data = event.get("data") if isinstance(event, dict) else None
    if not isinstance(data, dict) or not isinstance(data.get("id"), str) or not data["id"]:
        raise InvalidAccountInput("the message has no account in its data")
    match event.get("type"):
        case "user.created" | "user.updated":
            await accounts.write(_keep, data, accounts.clock_ms())
        case "user.deleted":
            await accounts.write(_suspend, data["id"], accounts.clock_ms())
            accounts.standings.forget()
        case _:
            pass


def check_signature(secret: str, headers: Mapping[str, str], body: bytes, now_ms: int) -> None:
    """Raises TokenInvalid unless one of the signatures is right and the message is new."""
    id, time_s = headers.get("svix-id", ""), headers.get("svix-timestamp", "")
    if not (time_s.isascii() and time_s.isdecimal() and len(time_s) < 14) or abs(int(time_s) * 1000 - now_ms) > TOLERANCE_MS:
        raise TokenInvalid("the message is not of now, or does not say when it was sent")
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise ProviderMissing("accounts.clerk_webhook_secret is not a secret as Clerk shows it: whsec_ and base 64") from error
    wanted = base64.b64encode(hmac.new(key, f"{id}.{time_s}.".encode() + body, hashlib.sha256).digest()).decode()
    told = [signature.partition(",")[2] for signature in headers.get("svix-signature", "").split()[:10] if signature.startswith("v1,")]
    if not any(hmac.compare_digest(wanted.encode(), signature.encode()) for signature in told):
        raise TokenInvalid("the signature of the message is wrong")


def _keep(connection: Connection, data: dict[str, Any], now_ms: int) -> None:
    email, confirmed = _email(data)
    name = " ".join(str(data[part]) for part in ("first_name", "last_name") if data.get(part))[: people.MAX_NAME_CHARACTERS]
    avatar = str(data.get("image_url") or "")[: people.MAX_AVATAR_CHARACTERS]
    known = people.find_by_external_id(connection, data["id"][:200])
    if known is None and email is not None and confirmed:
        known = people.find_by_email(connection, email)
        if known is not None and not known.email_confirmed:
            sessions.end_sessions(connection, known.id, "taken over", now_ms)
            known = people.change_person(connection, known.id, now_ms, password_hash=None)
    if known is None:
        new = NewPerson(email=email, name=name, email_confirmed=confirmed, external_id=data["id"][:200], avatar=avatar)
        people.add_person(connection, new, now_ms)
        return
    values: dict[str, Any] = {"external_id": data["id"][:200], "name": name or known.name, "avatar": avatar or known.avatar}
    if email is not None and confirmed:
        values |= {"email": email, "email_key": email_key(email), "email_confirmed_ms": now_ms}
    people.change_person(connection, known.id, now_ms, **values)


def _suspend(connection: Connection, external_id: str, now_ms: int) -> None:
    known = people.find_by_external_id(connection, external_id[:200])
    if known is not None:
        people.suspend(connection, known.id, "removed at Clerk", now_ms)
        sessions.end_sessions(connection, known.id, "removed at Clerk", now_ms)


def _email(data: dict[str, Any]) -> tuple[str | None, bool]:
    """The first address of the account, and whether it was confirmed."""
    found = data.get("email_addresses")
    entries = [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
    entries.sort(key=lambda entry: entry.get("id") != data.get("primary_email_address_id"))
    if not entries or not isinstance(entries[0].get("email_address"), str):
        return None, False
    proof = entries[0].get("verification")
    return checked_email(entries[0]["email_address"]), isinstance(proof, dict) and proof.get("status") == "verified"
