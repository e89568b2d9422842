"""What runs cost: the receipts of money that moved stay as that does, without a name."""

from __future__ import annotations

from marquetry.server.people_data.owned import Owned, OwnedRows

ROOM = OwnedRows(
    "metering",
    Owned("run_quotes", way="keep"),
    Owned("node_executions", way="keep"),
    Owned("listing_uses", way="keep"),
    Owned("usage_events"),
)
