"""Registering, confirming e-mails, and passwords. What is answered, and how soon, is the same for e-mails that are known and that are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from marquetry.marketplace.accounts import lockout, one_time, people, sessions
from marquetry.marketplace.accounts.breaches import check_breaches
from marquetry.marketplace.accounts.email_address import checked_email, email_key
from marquetry.marketplace.accounts.errors import AccountConflict, WrongCredentials
from marquetry.marketplace.accounts.one_time import Purpose
from marquetry.marketplace.accounts.password_policy import check_password
from marquetry.marketplace.accounts.passwords import hash_password, verify_password
from marquetry.marketplace.accounts.people import NewPerson, Person, checked_name
from marquetry.marketplace.accounts.sessions import Place
from marquetry.marketplace.errors import NotAllowed
from marquetry.server.accounts.service import Accounts
from marquetry.server.accounts.sign_in import begin_attempt, open_session
from marquetry.server.accounts.tokens import Tokens

if TYPE_CHECKING:
    from sqlalchemy import Connection


async def register(accounts: Accounts, email: str, password: str, name: str, place: Place) -> Tokens | None:
    """Mail a link that makes the account; where e-mails need no confirming, sign in at once. Raises WeakPassword, InvalidAccountInput."""
    if accounts.settings.registration == "closed":
        raise NotAllowed("this server takes no new accounts; ask its operator for one")
    email, name = checked_email(email), checked_name(name)
    kept = await new_hash(accounts, password, email=email, name=name)
    if not accounts.settings.confirm_email:
        new = NewPerson(email=email, name=name, password_hash=kept, email_confirmed=True)
        person = await accounts.write(people.add_person, new, accounts.clock_ms())
        await accounts.note("registered", place, owner=person.id, actor=person.id)
        return await open_session(accounts, person, place)
    accounts.background.begin(_mail_confirmation(accounts, email, kept, name, place))
    return None


async def confirm_email(accounts: Accounts, token: str, place: Place) -> Person:
    """Make the account of a mailed link. Raises TokenInvalid; AccountConflict when the e-mail got an account meanwhile."""
    person = await accounts.write(_make_confirmed, token, accounts.clock_ms())
    await accounts.note("registered", place, owner=person.id, actor=person.id)
    return person


def ask_reset(accounts: Accounts, email: str, place: Place) -> None:
    """Mail a link to set a new password, if the e-mail is known. Everything happens after the answer."""
    accounts.background.begin(_mail_reset(accounts, email, place))


async def reset_password(accounts: Accounts, token: str, password: str, place: Place) -> None:
    """Set a password with a mailed link; all sessions end. Raises TokenInvalid and WeakPassword."""
    given = await accounts.read(one_time.peek, token, Purpose.RESET_PASSWORD, accounts.clock_ms())
    person = await accounts.read(people.person, given.user_id or "")
    kept = await new_hash(accounts, password, email=person.email or "", name=person.name)
    await accounts.write(_reset, token, kept, accounts.clock_ms())
    await _password_changed(accounts, person, place, "password_reset")


async def change_password(accounts: Accounts, user_id: str, session_id: str | None, current: str, password: str, place: Place) -> None:
    """Set another password; the other sessions end. Raises WrongCredentials, SignInLocked, WeakPassword."""
    person = await prove(accounts, user_id, current, place)
    kept = await new_hash(accounts, password, email=person.email or "", name=person.name)
    await accounts.write(set_password, user_id, kept, accounts.clock_ms(), but=session_id)
    await _password_changed(accounts, person, place, "password_changed")


async def ask_new_email(accounts: Accounts, user_id: str, current: str, email: str, place: Place) -> None:
    """Mail a link to a new address; it is taken when that is confirmed. Raises WrongCredentials, InvalidAccountInput."""
    email = checked_email(email)
    await prove(accounts, user_id, current, place)
    token = await accounts.write(one_time.issue, Purpose.CHANGE_EMAIL, accounts.clock_ms(), user_id=user_id, email=email)
    accounts.post.send("change_email", email, f"/confirm-email#change={token}")


async def change_email(accounts: Accounts, token: str, place: Place) -> Person:
    """Take a new address with the link that was mailed there. Raises TokenInvalid and AccountConflict."""
    before, after = await accounts.write(_change_email, token, accounts.clock_ms())
    accounts.post.send("email_changed", before.email, email=after.email)
    await accounts.note("email_changed", place, owner=after.id, actor=after.id)
    return after


async def prove(accounts: Accounts, user_id: str, password: str, place: Place) -> Person:
    """The person, if the password is theirs. Raises WrongCredentials and SignInLocked."""
    subject = f"prove:{user_id}"
    await begin_attempt(accounts, subject, place, owner=user_id)
    person = await accounts.read(people.person, user_id)
    if not await accounts.slow.run(verify_password, person.password_hash, password):
        raise WrongCredentials("the password is wrong; who has none yet sets one through 'forgot password'")
    await accounts.write(lockout.forgive, subject)
    return person


async def new_hash(accounts: Accounts, password: str, *, email: str, name: str) -> str:
    """What is kept of a new password. Raises WeakPassword."""
    check_password(password, email=email, name=name)
    if accounts.settings.breach_url:
        await check_breaches(accounts.settings.breach_url, password)
    return await accounts.slow.run(hash_password, password)


def set_password(connection: Connection, user_id: str, kept: str, now_ms: int, *, but: str | None = None) -> None:
    """Keep a new password; sessions end, but the one that is named."""
    people.change_person(connection, user_id, now_ms, password_hash=kept, password_changed_ms=now_ms)
    sessions.end_sessions(connection, user_id, "password changed", now_ms, but=but)
    one_time.revoke(connection, Purpose.RESET_PASSWORD, user_id)


async def _password_changed(accounts: Accounts, person: Person, place: Place, kind: str) -> None:
    accounts.standings.forget()
    if person.email is not None:
        await accounts.write(lockout.forgive, f"email:{email_key(person.email)}")
    accounts.post.send("password_changed", person.email, "/forgot-password")
    await accounts.note(kind, place, owner=person.id, actor=person.id)


async def _mail_confirmation(accounts: Accounts, email: str, kept: str, name: str, place: Place) -> None:
    known = await accounts.read(people.find_by_email, email)
    if known is not None:
        accounts.post.send("already_registered", email, "/forgot-password")
        await accounts.note("register_again", place, owner=known.id)
        return
    token = await accounts.write(one_time.issue, Purpose.CONFIRM_EMAIL, accounts.clock_ms(), email=email, password_hash=kept, name=name)
    accounts.post.send("confirm_email", email, f"/confirm-email#token={token}")


async def _mail_reset(accounts: Accounts, email: str, place: Place) -> None:
    person = await accounts.read(people.find_by_email, email)
    await accounts.note("reset_asked", place, owner="" if person is None else person.id)
    if person is None or person.suspended_ms is not None:
        return
    token = await accounts.write(one_time.issue, Purpose.RESET_PASSWORD, accounts.clock_ms(), user_id=person.id)
    accounts.post.send("reset_password", person.email, f"/reset-password#token={token}")


def _make_confirmed(connection: Connection, token: str, now_ms: int) -> Person:
    given = one_time.redeem(connection, token, Purpose.CONFIRM_EMAIL, now_ms)
    email = str(given.data["email"])
    if people.find_by_email(connection, email) is not None:
        raise AccountConflict("this e-mail has an account already; sign in, or ask for a new password")
    new = NewPerson(email=email, name=str(given.data["name"]), password_hash=str(given.data["password_hash"]), email_confirmed=True)
    return people.add_person(connection, new, now_ms)


def _reset(connection: Connection, token: str, kept: str, now_ms: int) -> None:
    given = one_time.redeem(connection, token, Purpose.RESET_PASSWORD, now_ms)
    person = people.person(connection, given.user_id or "")
    set_password(connection, person.id, kept, now_ms)
    if not person.email_confirmed:  # the link was mailed there
        people.change_person(connection, person.id, now_ms, email_confirmed_ms=now_ms)


def _change_email(connection: Connection, token: str, now_ms: int) -> tuple[Person, Person]:
    given = one_time.redeem(connection, token, Purpose.CHANGE_EMAIL, now_ms)
    before = people.person(connection, given.user_id or "")
    return before, people.change_email(connection, before.id, str(given.data["email"]), now_ms)
