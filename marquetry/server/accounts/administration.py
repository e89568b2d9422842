"""Administration: profiles, roles, suspensions, other applications. Nobody takes their own power away by mistake."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from marquetry.marketplace.accounts import people, sso
from marquetry.marketplace.accounts.caller import Caller
from marquetry.marketplace.accounts.errors import AccountConflict, InvalidAccountInput
from marquetry.marketplace.accounts.people import Person
from marquetry.marketplace.accounts.roles import ADMIN
from marquetry.marketplace.accounts.security_events import Severity
from marquetry.marketplace.accounts.sessions import Place
from marquetry.server.accounts.service import Accounts
from marquetry.server.accounts.sign_in import log_out_everywhere
from marquetry.server.accounts.views import application_view
from marquetry.server.api.account_models import ProfileChange
from marquetry.server.api.admin_models import ApplicationBody, ApplicationView, Suspension


async def change_profile(accounts: Accounts, user_id: str, body: ProfileChange) -> Person:
    """Set what the body names. Raises InvalidAccountInput."""
    values: dict[str, Any] = {name: getattr(body, name) for name in body.model_fields_set if getattr(body, name) is not None}
    avatar = values.get("avatar", "")
    if avatar and not (avatar.startswith(("https://", "/")) and not avatar.startswith("//") and avatar.isprintable()):
        raise InvalidAccountInput("an avatar is an https address, or a path of this server", field="avatar")
    return await accounts.write(people.change_person, user_id, accounts.clock_ms(), **values)


async def set_roles(accounts: Accounts, caller: Caller, user_id: str, roles: Iterable[str], place: Place) -> Person:
    """Give exactly these roles. Raises AccountMissing, InvalidAccountInput, AccountConflict."""
    wanted = people.checked_roles(roles)
    if user_id == caller.owner and ADMIN not in wanted:
        raise AccountConflict("you can't take the role admin from yourself; another admin can")
    before = await accounts.read(people.person, user_id)
    person = await accounts.write(people.set_roles, user_id, wanted, accounts.clock_ms())
    accounts.standings.forget()
    await accounts.note(
        "permissions_changed", place, owner=user_id, actor=caller.owner, severity=Severity.WARNING,
        before=sorted(before.roles), after=sorted(person.roles),
    )  # fmt: skip
    return person


async def set_suspension(accounts: Accounts, caller: Caller, user_id: str, body: Suspension, place: Place) -> Person:
    """Suspend or restore. Raises AccountMissing and AccountConflict."""
    if user_id == caller.owner:
        raise AccountConflict("you can't suspend yourself")
    now_ms = accounts.clock_ms()
    if body.suspended:
        person = await accounts.write(people.suspend, user_id, body.reason, now_ms)
        await log_out_everywhere(accounts, user_id, place, actor=caller.owner)
    else:
        person = await accounts.write(people.restore, user_id, now_ms)
    accounts.standings.forget()
    kind = "suspended" if body.suspended else "restored"
    await accounts.note(kind, place, owner=user_id, actor=caller.owner, severity=Severity.WARNING, reason=body.reason)
    return person


async def add_application(accounts: Accounts, caller: Caller, body: ApplicationBody, place: Place) -> ApplicationView:
    """Register another application. Raises InvalidAccountInput."""
    client, secret = await accounts.write(
        sso.add_client, body.name, body.redirect_uris, accounts.clock_ms(), logout_uri=body.logout_uri, confidential=body.confidential
    )
    await accounts.note("application_added", place, actor=caller.owner, application=client.id, name=client.name)
    return application_view(client, secret)


async def remove_application(accounts: Accounts, caller: Caller, client_id: str, place: Place) -> None:
    """Raises AccountMissing."""
    await accounts.write(sso.remove_client, client_id)
    await accounts.note("application_removed", place, actor=caller.owner, application=client_id)
