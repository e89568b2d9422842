"""Making, changing and revoking keys and service tokens; each of it is a security event."""

from __future__ import annotations

from marquetry.marketplace.accounts import api_keys
from marquetry.marketplace.accounts.api_keys import NewKey
from marquetry.marketplace.accounts.caller import Caller
from marquetry.marketplace.accounts.sessions import Place
from marquetry.server.accounts.service import Accounts
from marquetry.server.accounts.views import key_view
from marquetry.server.api.account_models import KeyChange, KeyView, MadeKey, NewKeyBody
from marquetry.server.api.admin_models import NewServiceToken


async def make(accounts: Accounts, caller: Caller, body: NewKeyBody, place: Place) -> MadeKey:
    """A key of the caller's. One with the scope `admin` needs the role in force. Raises PermissionMissing, InvalidAccountInput."""
    if "admin" in body.scopes:
        caller.require("users.see")
    limit = body.spend_limit_microcredits
    return await _make(accounts, NewKey(body.name, frozenset(body.scopes), caller.owner, body.expires_ms, limit), caller.owner, place)


async def make_service_token(accounts: Accounts, actor: str, body: NewServiceToken, place: Place) -> MadeKey:
    """A token for a service, which belongs to no person."""
    return await _make(accounts, NewKey(body.name, frozenset(body.scopes), None, body.expires_ms), actor, place)


async def change(accounts: Accounts, caller: Caller, key_id: str, body: KeyChange, place: Place) -> KeyView:
    """Set what the body names. Raises AccountMissing, PermissionMissing, InvalidAccountInput."""
    values = {name: getattr(body, name) for name in body.model_fields_set}
    values = {name: value for name, value in values.items() if value is not None or name == "spend_limit_microcredits"}
    if "admin" in values.get("scopes", ()):
        caller.require("users.see")
    key = await accounts.write(api_keys.change_key, key_id, caller.owner, **values)
    accounts.standings.forget()
    await accounts.note("key_changed", place, owner=caller.owner, actor=caller.owner, key=key_id, what=sorted(values))
    return key_view(key)


async def revoke(accounts: Accounts, owner: str | None, actor: str, key_id: str, place: Place) -> None:
    """A key of somebody, or with None a service token. Raises AccountMissing."""
    await accounts.write(api_keys.revoke_key, key_id, owner, accounts.clock_ms())
    accounts.standings.forget()
    await accounts.note("key_revoked", place, owner=owner or "", actor=actor, key=key_id)


async def _make(accounts: Accounts, new: NewKey, actor: str, place: Place) -> MadeKey:
    key, text = await accounts.write(api_keys.make_key, new, accounts.clock_ms())
    await accounts.note("key_made", place, owner=new.user_id or "", actor=actor, key=key.id, scopes=sorted(key.scopes), name=key.name)
    return MadeKey(**key_view(key).model_dump(), key=text)
