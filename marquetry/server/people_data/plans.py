"""Plans and what was used of them. That a trial was granted stays, as money does."""

from __future__ import annotations

from marquetry.server.people_data.owned import Owned, OwnedRows

ROOM = OwnedRows("plans", Owned("subscriptions", way="keep"), Owned("quota_use"), Owned("trial_grants", way="keep"))
