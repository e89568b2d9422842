"""Roles that come with plans, under the names that other products know, and what each of them may do."""

from __future__ import annotations

from collections.abc import Mapping

ROLES = ("free", "starter", "pro", "business", "admin")
PLAN_NAMES: Mapping[str, str] = {
    "free": "free",
    "starter": "starter",
    "creator": "pro",
    "pro": "pro",
    "studio": "business",
    "enterprise": "business",
}
"""Which role a plan's bare name means, where a client asks by the old names."""

PERMISSIONS: Mapping[str, frozenset[str]] = {
    "free": frozenset(),
    "starter": frozenset({"plan.retention"}),
    "pro": frozenset({"plan.retention", "plan.api", "plan.bulk", "plan.advanced"}),
    "business": frozenset({"plan.retention", "plan.api", "plan.bulk", "plan.advanced", "plan.team", "plan.white_label"}),
    "admin": frozenset({"plan.retention", "plan.api", "plan.bulk", "plan.advanced", "plan.team", "plan.white_label", "plan.admin"}),
}


def role_of(plan_name: str) -> str:
    """The role of a plan that is named without its family; names that nobody knows are free."""
    return PLAN_NAMES.get(plan_name.rpartition(":")[2].lower(), "free")
