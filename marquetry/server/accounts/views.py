"""Views: accounts as the routes show them."""

from __future__ import annotations

from marquetry.marketplace.accounts import identities, people, second_factor, sessions
from marquetry.marketplace.accounts.caller import Caller
from marquetry.server.accounts.service import Accounts
from marquetry.server.api.account_models import Me, SessionView


async def with_person(accounts: Accounts, said: Me) -> Me:
    """What there is to say of a caller, with what is known of the person; of a service there is no more."""
    person = await accounts.read(people.find_person, said.id)
    if person is None:
        return said
    return said.model_copy(
        update={
            "email": person.email,
            "name": person.name,
            "avatar": person.avatar,
            "second_factor": person.has_second_factor,
            "has_password": person.password_hash is not None,
            "providers": await accounts.read(identities.linked_to, person.id),
            "recovery_codes_left": await accounts.read(second_factor.recovery_codes_left, person.id),
            "created_ms": person.created_ms,
        }
    )


async def sessions_seen_by(accounts: Accounts, caller: Caller) -> list[SessionView]:
    """The sessions of the caller, newest first."""
    found = await accounts.read(sessions.sessions_of, caller.owner, accounts.clock_ms())
    return [
        SessionView(
            id=session.id,
            current=session.id == caller.session_id,
            address=session.address,
            user_agent=session.user_agent,
            second_factor=session.second_factor,
            application=session.client_id,
            created_ms=session.created_ms,
            used_ms=session.used_ms,
            expires_ms=session.expires_ms,
        )
        for session in found
    ]
