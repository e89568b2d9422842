"""The second factor of an account: set up, confirm, renew its recovery codes, remove. Each step proves anew who asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from marquetry.marketplace.accounts import people, second_factor, sessions
from marquetry.marketplace.accounts.caller import Caller
from marquetry.marketplace.accounts.errors import AccountConflict, WrongCredentials
from marquetry.marketplace.accounts.security_events import Severity
from marquetry.marketplace.accounts.sessions import Place
from marquetry.server.accounts.registration import prove
from marquetry.server.accounts.service import Accounts
from marquetry.server.accounts.sign_in import begin_attempt, check_code
from marquetry.server.api.account_models import SecondFactorSetup

if TYPE_CHECKING:
    from sqlalchemy import Connection


async def set_up(accounts: Accounts, user_id: str, password: str, place: Place) -> SecondFactorSetup:
    """A secret for an authenticator app. Raises WrongCredentials, and AccountConflict where one is set up already."""
    person = await prove(accounts, user_id, password, place)
    if person.has_second_factor:
        raise AccountConflict("a second factor is set up already; remove it first")
    secret = second_factor.new_secret()
    await accounts.write(second_factor.keep_secret, user_id, accounts.keys.seal(secret))
    uri = second_factor.setup_uri(secret, person.email or person.id)
    return SecondFactorSetup(secret=secret, uri=uri, qr_svg=second_factor.qr_svg(uri))


async def confirm(accounts: Accounts, caller: Caller, code: str, place: Place) -> list[str]:
    """Count the factor from now on, for this session too. Raises WrongCredentials and AccountConflict."""
    person = await accounts.read(people.person, caller.owner)
    if person.totp_secret is None or person.has_second_factor:
        raise AccountConflict("begin with setting up an authenticator app")
    await begin_attempt(accounts, f"code:{person.id}", place, owner=person.id)
    secret = accounts.keys.unseal(person.totp_secret)
    codes = await accounts.write(_confirm, caller, secret, code, accounts.clock_ms())
    accounts.standings.forget()
    await accounts.note("second_factor_added", place, owner=caller.owner, actor=caller.owner)
    return codes


async def renew_codes(accounts: Accounts, user_id: str, password: str, code: str, place: Place) -> list[str]:
    """Other recovery codes. Raises WrongCredentials and AccountConflict."""
    await _prove_both(accounts, user_id, password, code, place)
    codes = await accounts.write(second_factor.new_recovery_codes, user_id)
    await accounts.note("recovery_codes_renewed", place, owner=user_id, actor=user_id)
    return codes


async def remove(accounts: Accounts, user_id: str, password: str, code: str, place: Place) -> None:
    """Ask for no code any more. Raises WrongCredentials and AccountConflict."""
    await _prove_both(accounts, user_id, password, code, place)
    await accounts.write(second_factor.remove, user_id, accounts.clock_ms())
    await accounts.note("second_factor_removed", place, owner=user_id, actor=user_id, severity=Severity.WARNING)


async def _prove_both(accounts: Accounts, user_id: str, password: str, code: str, place: Place) -> None:
    person = await prove(accounts, user_id, password, place)
    if not person.has_second_factor:
        raise AccountConflict("no second factor is set up")
    await check_code(accounts, person, code, place)


def _confirm(connection: Connection, caller: Caller, secret: str, code: str, now_ms: int) -> list[str]:
    if not second_factor.take_code(connection, caller.owner, secret, code, now_ms):
        raise WrongCredentials("the code is wrong; is the clock of your device right?")
    if caller.session_id is not None:
        sessions.confirm_second_factor(connection, caller.session_id)
    return second_factor.confirm(connection, caller.owner, now_ms)
