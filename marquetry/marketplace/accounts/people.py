"""People: accounts and what they say of themselves. Functions take a connection and never commit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from marquetry.marketplace.accounts.email_address import email_key
from marquetry.marketplace.accounts.errors import AccountConflict, AccountMissing, InvalidAccountInput
from marquetry.marketplace.accounts.opaque import new_id
from marquetry.marketplace.accounts.roles import ROLES, USER
from marquetry.marketplace.accounts.tables import users

MAX_NAME_CHARACTERS = 200
MAX_AVATAR_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Person:
    """An account as it is. `email_confirmed`: the person has shown that mail to it reaches them."""

    id: str
    email: str | None
    email_confirmed: bool
    name: str
    avatar: str
    has_completed_beta_signup: bool
    roles: frozenset[str]
    external_id: str | None
    created_ms: int
    updated_ms: int
    signed_in_ms: int | None
    suspended_ms: int | None
    suspended_reason: str
    password_hash: str | None
    totp_secret: bytes | None  # encrypted; one that was never confirmed is not asked for
    totp_confirmed: bool

    @property
    def has_second_factor(self) -> bool:
        return self.totp_confirmed and self.totp_secret is not None


@dataclass(frozen=True, slots=True)
class NewPerson:
    """Somebody who is added."""

    email: str | None = None
    name: str = ""
    password_hash: str | None = None
    email_confirmed: bool = False
    roles: frozenset[str] = frozenset({USER})
    external_id: str | None = None
    avatar: str = ""


def add_person(connection: Connection, new: NewPerson, now_ms: int) -> Person:
    """Raises AccountConflict when the e-mail or the external id is taken."""
    key = None if new.email is None else email_key(new.email)
    taken = [column == value for column, value in ((users.c.email_key, key), (users.c.external_id, new.external_id)) if value is not None]
    if taken and connection.execute(select(users.c.id).where(or_(*taken))).first() is not None:
        raise AccountConflict("there is an account with this e-mail or external id already")
    id = new_id("u")
    connection.execute(
        insert(users).values(
            id=id,
            external_id=new.external_id,
            email=new.email,
            email_key=key,
            email_confirmed_ms=now_ms if new.email_confirmed else None,
            password_hash=new.password_hash,
            password_changed_ms=None if new.password_hash is None else now_ms,
            name=checked_name(new.name),
            avatar=new.avatar[:MAX_AVATAR_CHARACTERS],
            has_completed_beta_signup=False,
            roles=_joined(new.roles),
            created_ms=now_ms,
            updated_ms=now_ms,
            suspended_reason="",
            totp_last_step=0,
        )
    )
    return person(connection, id)


def person(connection: Connection, id: str) -> Person:
    """Raises AccountMissing."""
    found = find_person(connection, id)
    if found is None:
        raise AccountMissing(f"there is no account '{id[:64]}'")
    return found


def find_person(connection: Connection, id: str) -> Person | None:
    row = connection.execute(select(users).where(users.c.id == id)).first()
    return None if row is None else person_of_row(row)


def find_by_email(connection: Connection, email: str) -> Person | None:
    row = connection.execute(select(users).where(users.c.email_key == email_key(email))).first()
    return None if row is None else person_of_row(row)


def find_by_external_id(connection: Connection, external_id: str) -> Person | None:
    row = connection.execute(select(users).where(users.c.external_id == external_id)).first()
    return None if row is None else person_of_row(row)


def search_people(connection: Connection, text: str = "", *, limit: int = 50, offset: int = 0) -> tuple[list[Person], int]:
    """A page of accounts, newest first, whose id, e-mail or name holds the text; and how many there are in all."""
    statement = select(users)
    if text:
        wanted = text.casefold()
        statement = statement.where(
            or_(
                users.c.id == text,
                users.c.external_id == text,
                users.c.email_key.contains(wanted, autoescape=True),
                func.lower(users.c.name).contains(wanted, autoescape=True),
            )
        )
    total = connection.execute(select(func.count()).select_from(statement.subquery())).scalar_one()
    rows = connection.execute(statement.order_by(users.c.created_ms.desc(), users.c.id).limit(limit).offset(offset)).all()
    return [person_of_row(row) for row in rows], total


def change_person(connection: Connection, /, id: str, now_ms: int, **values: Any) -> Person:
    """Set columns of an account. Raises AccountMissing."""
    if "name" in values:
        values["name"] = checked_name(values["name"])
    changed = connection.execute(update(users).where(users.c.id == id).values(**values, updated_ms=now_ms))
    if not changed.rowcount:
        raise AccountMissing(f"there is no account '{id[:64]}'")
    return person(connection, id)


def change_email(connection: Connection, id: str, email: str, now_ms: int) -> Person:
    """Give an account another e-mail, confirmed. Raises AccountConflict when somebody else has it."""
    other = find_by_email(connection, email)
    if other is not None and other.id != id:
        raise AccountConflict("there is an account with this e-mail already")
    return change_person(connection, id, now_ms, email=email, email_key=email_key(email), email_confirmed_ms=now_ms)


def set_roles(connection: Connection, id: str, roles: Iterable[str], now_ms: int) -> Person:
    """Give exactly these roles; everybody has `user`. Raises InvalidAccountInput for an unknown one."""
    return change_person(connection, id, now_ms, roles=_joined(checked_roles(roles)))


def checked_roles(roles: Iterable[str]) -> frozenset[str]:
    """Raises InvalidAccountInput."""
    wanted = frozenset(roles) | {USER}
    unknown = sorted(wanted - set(ROLES))
    if unknown:
        raise InvalidAccountInput(f"there is no role '{unknown[0][:40]}'; there are {', '.join(ROLES)}", field="roles")
    return wanted


def suspend(connection: Connection, id: str, reason: str, now_ms: int) -> Person:
    """The account may do nothing until it is restored."""
    return change_person(connection, id, now_ms, suspended_ms=now_ms, suspended_reason=reason[:500])


def restore(connection: Connection, id: str, now_ms: int) -> Person:
    return change_person(connection, id, now_ms, suspended_ms=None, suspended_reason="")


def remove_person(connection: Connection, id: str) -> bool:
    """Delete an account with its sessions, keys and links; whether there was one. What other rooms keep of a person they delete."""
    return bool(connection.execute(delete(users).where(users.c.id == id)).rowcount)


def checked_name(name: str) -> str:
    """Raises InvalidAccountInput."""
    name = name.strip()
    if len(name) > MAX_NAME_CHARACTERS or not (name.isprintable() or not name):
        raise InvalidAccountInput(f"a name has at most {MAX_NAME_CHARACTERS} characters, on one line", field="name")
    return name


def person_of_row(row: Row[Any]) -> Person:
    """The value of a row of `users`."""
    return Person(
        id=row.id,
        email=row.email,
        email_confirmed=row.email_confirmed_ms is not None,
        name=row.name,
        avatar=row.avatar,
        has_completed_beta_signup=row.has_completed_beta_signup,
        roles=frozenset(row.roles.split()),
        external_id=row.external_id,
        created_ms=row.created_ms,
        updated_ms=row.updated_ms,
        signed_in_ms=row.signed_in_ms,
        suspended_ms=row.suspended_ms,
        suspended_reason=row.suspended_reason,
        password_hash=row.password_hash,
        totp_secret=row.totp_secret,
        totp_confirmed=row.totp_confirmed_ms is not None,
    )


def _joined(roles: Iterable[str]) -> str:
    return " ".join(role for role in ROLES if role in set(roles))
