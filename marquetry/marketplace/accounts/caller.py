"""Caller: who a request comes from, and what they may do. A value; the server makes one for every request."""

from __future__ import annotations

from dataclasses import dataclass, field

from marquetry.marketplace.accounts.errors import PermissionMissing, ScopeMissing
from marquetry.marketplace.accounts.roles import ADMIN, EVERYTHING, STAFF, permits


@dataclass(frozen=True, slots=True)
class Caller:
    """`owner` is the id under which things are kept. `key_id` is set where an API key or a service token called, `session_id` where a person
    signed in. `second_factor`: the sign-in was confirmed by a second factor. `local`: the only user of a server without accounts, who may do
    everything. `dormant` roles are not in force, since that needs a second factor or another network."""

    owner: str
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = field(default=frozenset({EVERYTHING}))
    key_id: str | None = None
    session_id: str | None = None
    second_factor: bool = False
    local: bool = False
    dormant: frozenset[str] = frozenset()

    @property
    def is_admin(self) -> bool:
        """Whether the caller may do what admins may, with what they called with."""
        return self.may("admin")

    @property
    def is_person(self) -> bool:
        """Whether somebody signed in, as opposed to a key a service token, or another application that calls for them."""
        return self.local or (self.session_id is not None and EVERYTHING in self.scopes)

    def may(self, permission: str) -> bool:
        """Whether a role that is in force permits it; `admin` asks for the role itself."""
        if self.local:
            return True
        roles = self.roles if self.has_scope("admin") else self.roles - STAFF
        return permission in roles if permission == ADMIN else permits(roles, permission)

    def has_scope(self, scope: str) -> bool:
        return EVERYTHING in self.scopes or scope in self.scopes

    def require(self, permission: str) -> None:
        """Raises PermissionMissing."""
        if self.may(permission):
            return
        if permits(self.dormant, permission):
            raise PermissionMissing(
                "your role counts only after a second factor, and from the networks that the operator allows: set up an authenticator app and "
                "sign in with its code",
                permission=permission,
            )
        raise PermissionMissing(f"this needs the permission '{permission}'; an admin can give a role that has it", permission=permission)

    def require_scope(self, scope: str) -> None:
        """Raises ScopeMissing."""
        if not self.has_scope(scope):
            raise ScopeMissing(f"this key lacks the scope '{scope}'; make a key that has it", scope=scope)
