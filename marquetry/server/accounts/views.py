"""Views: accounts as the routes show them."""

from __future__ import annotations

from marquetry.marketplace.accounts import identities, people, second_factor, security_events, sessions
from marquetry.marketplace.accounts.api_keys import ApiKey
from marquetry.marketplace.accounts.caller import Caller
from marquetry.marketplace.accounts.people import Person
from marquetry.marketplace.accounts.sso import SsoClient
from marquetry.server.accounts.service import Accounts
from marquetry.server.api.account_models import EventsQuery, EventView, KeyView, Me, Profile, SessionView
from marquetry.server.api.admin_models import ApplicationView, UserView


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


async def events_seen(accounts: Accounts, owner: str | None, query: EventsQuery) -> list[EventView]:
    """Security events that concern somebody, or with None everybody."""
    kinds = (query.kind,) if query.kind else ()
    found = await accounts.read(security_events.events_of, owner, kinds=kinds, before=query.before, limit=query.limit)
    return [
        EventView(
            sequence=event.seq,
            kind=event.kind,
            severity=str(event.severity),
            time_ms=event.time_ms,
            owner=event.owner,
            actor=event.actor,
            address=event.address,
            user_agent=event.user_agent,
            details=dict(event.details),
        )
        for event in found
    ]


def key_view(key: ApiKey) -> KeyView:
    """A key without its text."""
    return KeyView(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        scopes=sorted(key.scopes),
        created_ms=key.created_ms,
        expires_ms=key.expires_ms,
        revoked_ms=key.revoked_ms,
        last_used_ms=key.used_ms,
        spend_limit_microcredits=key.spend_limit_microcredits,
        spent_microcredits=key.spent_microcredits,
    )


def user_view(person: Person) -> UserView:
    """An account as staff sees it."""
    return UserView(
        id=person.id,
        email=person.email,
        email_confirmed=person.email_confirmed,
        name=person.name,
        roles=sorted(person.roles),
        second_factor=person.has_second_factor,
        external_id=person.external_id,
        created_ms=person.created_ms,
        signed_in_ms=person.signed_in_ms,
        suspended_ms=person.suspended_ms,
        suspended_reason=person.suspended_reason,
    )


def profile_view(person: Person) -> Profile:
    """What a person says of themselves."""
    return Profile(
        id=person.id,
        email=person.email,
        name=person.name,
        avatar=person.avatar,
        has_completed_beta_signup=person.has_completed_beta_signup,
        external_id=person.external_id,
        created_at=person.created_ms,
        updated_at=person.updated_ms,
        roles=sorted(person.roles),
    )


def application_view(client: SsoClient, secret: str | None = None) -> ApplicationView:
    """Another application."""
    return ApplicationView(
        client_id=client.id,
        name=client.name,
        redirect_uris=list(client.redirect_uris),
        logout_uri=client.logout_uri,
        confidential=client.confidential,
        client_secret=secret or None,
    )
