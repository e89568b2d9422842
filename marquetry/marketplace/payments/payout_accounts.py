"""Payout accounts: where a provider sends what creators have earned, and whether it may yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from marquetry.marketplace.accounts.upsert import insert_missing
from marquetry.marketplace.payments.events import AccountSet
from marquetry.marketplace.payments.tables import payout_accounts

if TYPE_CHECKING:
    from sqlalchemy import Connection

columns = payout_accounts.c


@dataclass(frozen=True, slots=True)
class PayoutAccount:
    """A row."""

    owner: str
    provider: str
    account_id: str
    payouts_enabled: bool
    details_submitted: bool
    synced_ms: int
    created_ms: int


def find_account(connection: Connection, owner: str, provider: str) -> PayoutAccount | None:
    row = connection.execute(select(payout_accounts).where(columns.owner == owner, columns.provider == provider)).first()
    return None if row is None else PayoutAccount(**row._mapping)


def keep_account(connection: Connection, owner: str, provider: str, account_id: str, now_ms: int) -> PayoutAccount:
    """Remember an account; the first holds."""
    values = {"account_id": account_id, "payouts_enabled": False, "details_submitted": False, "synced_ms": 0, "created_ms": now_ms}
    insert_missing(connection, payout_accounts, owner=owner, provider=provider, **values)
    found = find_account(connection, owner, provider)
    assert found is not None, "it was written"
    return found


def account_said(connection: Connection, provider: str, said: AccountSet, event_ms: int) -> bool | None:
    """How an account stands; None: nobody here has it. What is older than what is known changes nothing."""
    mine = (columns.provider == provider, columns.account_id == said.account_id)
    if connection.execute(select(columns.owner).where(*mine)).first() is None:
        return None
    values = {"payouts_enabled": said.payouts_enabled, "details_submitted": said.details_submitted, "synced_ms": event_ms}
    return bool(connection.execute(update(payout_accounts).where(*mine, columns.synced_ms <= event_ms).values(**values)).rowcount)
