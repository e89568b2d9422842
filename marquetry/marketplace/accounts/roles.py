"""Roles and what they permit; scopes and what they let a key do. A caller may do what both allow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

USER, CREATOR, MODERATOR, ADMIN, SERVICE = "user", "creator", "moderator", "admin", "service"
ROLES = (USER, CREATOR, MODERATOR, ADMIN)
"""Roles that people can have; `service` is that of service tokens."""

SCOPES: Mapping[str, str] = {
    "read": "see one's own jobs, files, listings and balance",
    "run": "submit and cancel jobs, upload and delete files",
    "publish": "make and change listings",
    "money": "buy, subscribe, ask for payouts",
    "account": "change the profile and settings",
    "admin": "use the roles moderator and admin, where their owner has them",
}
"""What a key can be allowed; `*` is everything, which only a sign-in has."""

EVERYTHING = "*"
PERMISSIONS: Mapping[str, frozenset[str]] = {
    USER: frozenset({"jobs.run", "market.buy", "market.review"}),
    CREATOR: frozenset({"market.publish", "payouts.request"}),
    MODERATOR: frozenset({"market.moderate", "jobs.all", "users.see"}),
    ADMIN: frozenset({EVERYTHING}),
    SERVICE: frozenset({"jobs.run"}),
}
"""What each role permits, beyond the caller's own things. `jobs.all`: see everybody's jobs when asked for."""

STAFF = frozenset({MODERATOR, ADMIN})
"""Roles over other people's things: a key has them only with the scope `admin`."""


def permits(roles: Iterable[str], permission: str) -> bool:
    """Whether one of the roles allows it."""
    granted: set[str] = set()
    for role in roles:
        granted |= PERMISSIONS.get(role, frozenset())
    return permission in granted or EVERYTHING in granted
