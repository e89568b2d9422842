"""People themselves: all goes with the account; of what was security relevant, that it happened stays."""

from __future__ import annotations

from marquetry.server.people_data.owned import Below, Owned, OwnedRows

ROOM = OwnedRows(
    "accounts",
    Owned("users", "id"),
    Owned("identities", "user_id"),
    Owned("sessions", "user_id"),
    Owned("recovery_codes", "user_id"),
    Owned("api_keys", "user_id"),
    Owned("one_time_tokens", "user_id"),
    Owned("call_counts"),
    Owned("security_events", way="blank", blank={"address": "", "user_agent": "", "details": b"{}"}),
    below=(Below("refresh_tokens", "session_id", "sessions"),),
)
