"""Identities: the same person at another site. An account is found by its e-mail only where both sides have confirmed that address."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select

from marquetry.marketplace.accounts import people, sessions
from marquetry.marketplace.accounts.email_address import checked_email
from marquetry.marketplace.accounts.errors import AccountConflict, AccountMissing, WrongCredentials
from marquetry.marketplace.accounts.people import NewPerson, Person
from marquetry.marketplace.accounts.tables import identities


@dataclass(frozen=True, slots=True)
class Profile:
    """What another site says of who signed in there. `subject` is its own id of them."""

    provider: str
    subject: str
    email: str = ""
    email_confirmed: bool = False
    name: str = ""
    avatar: str = ""


def sign_in_with(connection: Connection, profile: Profile, now_ms: int, *, may_register: bool = True) -> Person:
    """The account of a profile: linked before, found by a confirmed e-mail, or made now. Raises WrongCredentials where it can't be."""
    linked = find_linked(connection, profile.provider, profile.subject)
    if linked is not None:
        return linked
    if not profile.email or not profile.email_confirmed:
        raise WrongCredentials(
            f"{profile.provider} has not confirmed your e-mail address; confirm it there, or sign in here and link it in your settings"
        )
    email = checked_email(profile.email)
    known = people.find_by_email(connection, email)
    if known is None:
        if not may_register:
            raise WrongCredentials("this server takes no new accounts; ask its operator for one")
        new = NewPerson(email=email, name=_name(profile), avatar=profile.avatar, email_confirmed=True)
        known = people.add_person(connection, new, now_ms)
    elif not known.email_confirmed:
        known = _take_over(connection, known, now_ms)
    link(connection, known.id, profile, now_ms)
    return known


def link(connection: Connection, user_id: str, profile: Profile, now_ms: int) -> None:
    """Let an account be signed in to through a profile. Raises AccountConflict when it is another's."""
    linked = find_linked(connection, profile.provider, profile.subject)
    if linked is not None and linked.id != user_id:
        raise AccountConflict(f"this {profile.provider} account is linked to another account here")
    if linked is None:
        connection.execute(
            insert(identities).values(
                provider=profile.provider, subject=profile.subject[:255], user_id=user_id, email=profile.email[:254], linked_ms=now_ms
            )
        )


def find_linked(connection: Connection, provider: str, subject: str) -> Person | None:
    wanted = (identities.c.provider == provider, identities.c.subject == subject[:255])
    user_id = connection.execute(select(identities.c.user_id).where(*wanted)).scalar()
    return None if user_id is None else people.person(connection, user_id)


def linked_to(connection: Connection, user_id: str) -> dict[str, str]:
    """E-mail by provider."""
    rows = connection.execute(select(identities.c.provider, identities.c.email).where(identities.c.user_id == user_id)).all()
    return {row.provider: row.email for row in rows}


def unlink(connection: Connection, user_id: str, provider: str) -> None:
    """Raises AccountMissing, and AccountConflict where nothing would be left to sign in with."""
    known = people.person(connection, user_id)
    mine = identities.c.user_id == user_id
    others = connection.execute(select(func.count()).select_from(identities).where(mine, identities.c.provider != provider)).scalar_one()
    if known.password_hash is None and not others:
        raise AccountConflict("set a password first; without this link there would be no way to sign in")
    if not connection.execute(delete(identities).where(mine, identities.c.provider == provider)).rowcount:
        raise AccountMissing(f"no {provider[:50]} account is linked")


def _take_over(connection: Connection, known: Person, now_ms: int) -> Person:
    """Somebody registered with an address that they never confirmed; its owner comes now. What that somebody set must not let them in."""
    sessions.end_sessions(connection, known.id, "taken over", now_ms)
    return people.change_person(connection, known.id, now_ms, password_hash=None, email_confirmed_ms=now_ms)


def _name(profile: Profile) -> str:
    kept = "".join(character for character in profile.name if character.isprintable()).strip()
    return kept[: people.MAX_NAME_CHARACTERS]
