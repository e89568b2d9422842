"""Signing in: with a password, with a second factor, on with a refresh token; and out. Answers and times don't tell which e-mails are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from marquetry.marketplace.accounts import lockout, one_time, people, second_factor, sessions
from marquetry.marketplace.accounts.email_address import email_key
from marquetry.marketplace.accounts.errors import AccountSuspended, SecondFactorRequired, SignInLocked, TokenReused, WrongCredentials
from marquetry.marketplace.accounts.one_time import Purpose
from marquetry.marketplace.accounts.passwords import hash_password, is_outdated, verify_password
from marquetry.marketplace.accounts.people import Person
from marquetry.marketplace.accounts.security_events import Severity
from marquetry.marketplace.accounts.sessions import Opened, Place
from marquetry.server.accounts.service import Accounts
from marquetry.server.accounts.tokens import Tokens, tokens_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

WRONG = "e-mail, password or code are wrong, or the e-mail was not confirmed yet"


async def log_in(accounts: Accounts, email: str, password: str, code: str, place: Place) -> Tokens:
    """Raises WrongCredentials, SignInLocked, SecondFactorRequired and AccountSuspended."""
    subject = f"email:{email_key(email)}"
    await begin_attempt(accounts, subject, place)
    person = await accounts.read(people.find_by_email, email)
    kept = None if person is None else person.password_hash
    right = await accounts.slow.run(verify_password, kept, password)
    if person is None or not right or not person.email_confirmed:
        await accounts.note("sign_in_failed", place, owner="" if person is None else person.id, severity=Severity.WARNING)
        raise WrongCredentials(WRONG)
    await accounts.write(lockout.forgive, subject)
    check_standing(person)
    if kept is not None and is_outdated(kept):
        renewed = await accounts.slow.run(hash_password, password)
        await accounts.write(people.change_person, person.id, accounts.clock_ms(), password_hash=renewed)
    if not person.has_second_factor:
        return await open_session(accounts, person, place)
    if not code:
        raise await challenge(accounts, person)
    await check_code(accounts, person, code, place)
    return await open_session(accounts, person, place, with_second_factor=True)


async def answer_challenge(accounts: Accounts, token: str, code: str, place: Place) -> Tokens:
    """The second step of a sign-in. Raises TokenInvalid, WrongCredentials, SignInLocked."""
    given = await accounts.read(one_time.peek, token, Purpose.SECOND_FACTOR, accounts.clock_ms())
    person = await accounts.read(people.person, given.user_id or "")
    check_standing(person)
    await check_code(accounts, person, code, place)
    await accounts.write(one_time.redeem, token, Purpose.SECOND_FACTOR, accounts.clock_ms())
    return await open_session(accounts, person, place, with_second_factor=True)


async def challenge(accounts: Accounts, person: Person) -> SecondFactorRequired:
    """What says that a code is wanted, with what it is sent with."""
    token = await accounts.write(one_time.issue, Purpose.SECOND_FACTOR, accounts.clock_ms(), user_id=person.id)
    return SecondFactorRequired("send the code of your authenticator app, or a recovery code, with this challenge", challenge=token)


async def check_code(accounts: Accounts, person: Person, code: str, place: Place) -> None:
    """Take a code of the authenticator app, or a recovery code. Raises WrongCredentials and SignInLocked."""
    subject = f"code:{person.id}"
    await begin_attempt(accounts, subject, place, owner=person.id)
    if not await accounts.write(_take, person, accounts.keys.unseal(person.totp_secret or b""), code, accounts.clock_ms()):
        await accounts.note("second_factor_failed", place, owner=person.id, severity=Severity.WARNING)
        raise WrongCredentials("the code is wrong or was used before; wait for the next one")
    await accounts.write(lockout.forgive, subject)


async def open_session(
    accounts: Accounts,
    person: Person,
    place: Place,
    *,
    with_second_factor: bool = False,
    client_id: str | None = None,
    how: str = "password",
) -> Tokens:
    """Let somebody in who has shown who they are."""
    opened = await accounts.write(
        sessions.open_session, person.id, place, accounts.limits_for(person.roles), accounts.clock_ms(),
        second_factor=with_second_factor, client_id=client_id,
    )  # fmt: skip
    await accounts.note("signed_in", place, owner=person.id, actor=person.id, session=opened.session_id, how=how)
    return tokens_of(accounts, opened)


async def refresh(accounts: Accounts, token: str, place: Place, *, client_id: str | None = None) -> Tokens:
    """Go on with a session. Raises TokenInvalid; TokenReused after the session was ended for it."""
    try:
        opened: Opened = await accounts.write(sessions.rotate, token, accounts.limits_for(frozenset()), accounts.clock_ms(), client_id)
    except TokenReused as error:
        accounts.standings.forget()
        user_id = str(error.details["user_id"])
        error.details = {}
        await accounts.note("token_reused", place, owner=user_id, severity=Severity.HIGH)
        person = await accounts.read(people.find_person, user_id)
        accounts.post.send("sessions_ended", None if person is None else person.email)
        raise
    return tokens_of(accounts, opened)


async def log_out(accounts: Accounts, session_id: str, user_id: str, place: Place) -> bool:
    """End a session of a person; False when there was none that went on."""
    if not await accounts.write(sessions.end_session, session_id, "signed out", accounts.clock_ms(), user_id=user_id):
        return False
    accounts.standings.forget()
    await accounts.note("signed_out", place, owner=user_id, actor=user_id, session=session_id)
    tell_applications(accounts, user_id)
    return True


async def log_out_everywhere(accounts: Accounts, user_id: str, place: Place, *, but: str | None = None, actor: str | None = None) -> int:
    """End all sessions of somebody, but one. Gives how many."""
    ended = await accounts.write(sessions.end_sessions, user_id, "signed out everywhere", accounts.clock_ms(), but=but)
    accounts.standings.forget()
    await accounts.note("signed_out_everywhere", place, owner=user_id, actor=actor or user_id, sessions=len(ended))
    tell_applications(accounts, user_id)
    return len(ended)


def tell_applications(accounts: Accounts, user_id: str) -> None:
    """Let other applications know that a person's sessions are over."""
    from marquetry.server.accounts.logout_notice import notify

    accounts.background.begin(notify(accounts, user_id))


async def begin_attempt(accounts: Accounts, subject: str, place: Place, *, owner: str = "") -> None:
    """Count an attempt before it is judged. Raises SignInLocked."""
    wait_ms = await accounts.write(lockout.begin_attempt, subject, accounts.clock_ms())
    if wait_ms:
        await accounts.note("sign_in_locked", place, owner=owner, severity=Severity.WARNING)
        seconds = -(-wait_ms // 1000)
        raise SignInLocked(f"too many wrong attempts; try again in {seconds} s, or set a new password", retry_after_s=seconds)


def check_standing(person: Person) -> None:
    """Raises AccountSuspended."""
    if person.suspended_ms is not None:
        raise AccountSuspended(f"this account was suspended: {person.suspended_reason or 'write to the operator'}")


def _take(connection: Connection, person: Person, secret: str, code: str, now_ms: int) -> bool:
    if second_factor.take_code(connection, person.id, secret, code, now_ms):
        return True
    return second_factor.take_recovery_code(connection, person.id, code, now_ms)
