"""Money: journal and lines are append-only and chained by hashes, so they stay; without the account, the owner's id names nobody."""

from __future__ import annotations

from marquetry.server.people_data.owned import Below, Owned, OwnedRows

ROOM = OwnedRows(
    "ledger",
    Owned("ledger_accounts", way="keep"),
    Owned("ledger_journal", way="keep"),
    Owned("ledger_holds", way="keep"),
    Owned("ledger_grants", way="keep"),
    Owned("ledger_payouts", "creator", way="keep"),
    below=(Below("ledger_lines", "entry_id", "ledger_journal"),),
)
