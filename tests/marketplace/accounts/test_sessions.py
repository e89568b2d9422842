"""Sessions, one-time tokens, lock-out, second factor: what proves somebody is good once, and not for long."""

from __future__ import annotations

import pyotp
import pytest
from sqlalchemy import Connection, select

from marquetry.marketplace.accounts import lockout, one_time, people, second_factor, sessions, tables
from marquetry.marketplace.accounts.errors import TokenInvalid, TokenReused
from marquetry.marketplace.accounts.one_time import Purpose
from marquetry.marketplace.accounts.people import Person
from marquetry.marketplace.accounts.sessions import HOUR_MS, Opened, Place, SessionLimits
from tests.marketplace.accounts.conftest import NOW_MS

LIMITS = SessionLimits()


@pytest.fixture
def opened(connection: Connection, ann: Person) -> Opened:
    return sessions.open_session(connection, ann.id, Place("192.0.2.1", "test"), LIMITS, NOW_MS)


def rotated(connection: Connection, token: str, now_ms: int = NOW_MS, client_id: str | None = None) -> Opened:
    outcome = sessions.rotate(connection, token, LIMITS, now_ms, client_id)
    if isinstance(outcome, TokenInvalid):
        raise outcome
    return outcome


def test_a_refresh_token_gives_the_next_one_in_the_same_session(connection: Connection, opened: Opened) -> None:
    following = rotated(connection, opened.refresh_token)
    assert following.session_id == opened.session_id and following.refresh_token != opened.refresh_token
    assert rotated(connection, following.refresh_token).expires_ms == opened.expires_ms


def test_a_refresh_token_that_comes_again_ends_the_whole_family(connection: Connection, opened: Opened) -> None:
    following = rotated(connection, opened.refresh_token)
    with pytest.raises(TokenReused):
        rotated(connection, opened.refresh_token)
    with pytest.raises(TokenInvalid):
        rotated(connection, following.refresh_token)
    standing = sessions.standing(connection, opened.session_id)
    assert standing is not None and standing.ended


def test_sessions_end_when_they_are_idle_and_after_a_day_anyway(connection: Connection, opened: Opened) -> None:
    token = opened.refresh_token
    for hour in (7, 14, 21, 23):
        token = rotated(connection, token, NOW_MS + hour * HOUR_MS).refresh_token
    with pytest.raises(TokenInvalid, match="expired"):
        rotated(connection, token, NOW_MS + 24 * HOUR_MS)


def test_a_session_that_is_not_used_for_eight_hours_is_over(connection: Connection, opened: Opened) -> None:
    with pytest.raises(TokenInvalid, match="expired"):
        rotated(connection, opened.refresh_token, NOW_MS + 8 * HOUR_MS)


def test_tokens_of_an_application_are_good_for_that_application_alone(connection: Connection, ann: Person) -> None:
    theirs = sessions.open_session(connection, ann.id, Place(), LIMITS, NOW_MS, client_id="app_1")
    for other in (None, "app_2"):
        with pytest.raises(TokenInvalid):
            rotated(connection, theirs.refresh_token, client_id=other)
    assert rotated(connection, theirs.refresh_token, client_id="app_1").client_id == "app_1"


def test_suspended_people_and_ended_sessions_get_no_tokens(connection: Connection, ann: Person, opened: Opened) -> None:
    people.suspend(connection, ann.id, "spam", NOW_MS)
    with pytest.raises(TokenInvalid):
        rotated(connection, opened.refresh_token)
    people.restore(connection, ann.id, NOW_MS)
    assert sessions.end_sessions(connection, ann.id, "test", NOW_MS) == [opened.session_id]
    with pytest.raises(TokenInvalid):
        rotated(connection, opened.refresh_token)


def test_nothing_that_proves_somebody_is_kept_as_it_is(connection: Connection, ann: Person, opened: Opened) -> None:
    token = one_time.issue(connection, Purpose.RESET_PASSWORD, NOW_MS, user_id=ann.id)
    kept = [*connection.execute(select(tables.refresh_tokens)).all(), *connection.execute(select(tables.one_time_tokens)).all()]
    assert opened.refresh_token not in str(kept) and token not in str(kept)


def test_a_persons_sessions_are_theirs_to_see_and_to_end(connection: Connection, ann: Person, bob: Person, opened: Opened) -> None:
    assert [session.id for session in sessions.sessions_of(connection, ann.id, NOW_MS)] == [opened.session_id]
    assert sessions.sessions_of(connection, bob.id, NOW_MS) == []
    assert not sessions.end_session(connection, opened.session_id, "", NOW_MS, user_id=bob.id)
    assert sessions.end_session(connection, opened.session_id, "", NOW_MS, user_id=ann.id)


def test_a_one_time_token_is_good_once_for_its_purpose_and_for_its_time(connection: Connection, ann: Person) -> None:
    token = one_time.issue(connection, Purpose.RESET_PASSWORD, NOW_MS, user_id=ann.id, why="x")
    with pytest.raises(TokenInvalid):
        one_time.redeem(connection, token, Purpose.CHANGE_EMAIL, NOW_MS)
    assert one_time.peek(connection, token, Purpose.RESET_PASSWORD, NOW_MS).user_id == ann.id
    assert one_time.redeem(connection, token, Purpose.RESET_PASSWORD, NOW_MS).data == {"why": "x"}
    with pytest.raises(TokenInvalid):
        one_time.redeem(connection, token, Purpose.RESET_PASSWORD, NOW_MS)
    late = one_time.issue(connection, Purpose.RESET_PASSWORD, NOW_MS, user_id=ann.id)
    with pytest.raises(TokenInvalid):
        one_time.redeem(connection, late, Purpose.RESET_PASSWORD, NOW_MS + 30 * 60_000)


def test_of_mailed_tokens_only_the_newest_is_good(connection: Connection, ann: Person) -> None:
    old, new = (one_time.issue(connection, Purpose.RESET_PASSWORD, NOW_MS, user_id=ann.id) for _ in range(2))
    with pytest.raises(TokenInvalid):
        one_time.redeem(connection, old, Purpose.RESET_PASSWORD, NOW_MS)
    one_time.redeem(connection, new, Purpose.RESET_PASSWORD, NOW_MS)


def test_five_wrong_attempts_lock_and_each_further_one_locks_longer(connection: Connection) -> None:
    now_ms = NOW_MS
    assert [lockout.begin_attempt(connection, "email:x", now_ms) for _ in range(5)] == [0] * 5
    assert lockout.begin_attempt(connection, "email:x", now_ms) == 60_000
    assert lockout.begin_attempt(connection, "email:y", now_ms) == 0
    waits = []
    for _ in range(8):
        waits.append(lockout.begin_attempt(connection, "email:x", now_ms))
        now_ms += waits[-1]
        assert lockout.begin_attempt(connection, "email:x", now_ms) == 0
    assert waits == [60_000, 120_000, 240_000, 480_000, 960_000, 1_920_000, 3_600_000, 3_600_000]
    lockout.forgive(connection, "email:x")
    assert lockout.begin_attempt(connection, "email:x", now_ms) == 0


def test_old_failures_are_forgotten_after_a_day(connection: Connection) -> None:
    for _ in range(4):
        lockout.begin_attempt(connection, "email:x", NOW_MS)
    later = NOW_MS + 25 * HOUR_MS
    assert [lockout.begin_attempt(connection, "email:x", later) for _ in range(5)] == [0] * 5


def test_a_code_is_good_once_and_about_its_time(connection: Connection, ann: Person) -> None:
    secret = second_factor.new_secret()
    code = pyotp.TOTP(secret).at(NOW_MS // 1000)
    assert not second_factor.take_code(connection, ann.id, secret, code, NOW_MS + 120_000)
    assert second_factor.take_code(connection, ann.id, secret, code, NOW_MS + 25_000)
    assert not second_factor.take_code(connection, ann.id, secret, code, NOW_MS + 26_000)
    for wrong in ("", "abcdef", "12345", "١٢٣٤٥٦", code + "0"):
        assert not second_factor.take_code(connection, ann.id, secret, wrong, NOW_MS + 60_000)


def test_recovery_codes_are_good_once_each_and_only_the_newest(connection: Connection, ann: Person, bob: Person) -> None:
    old = second_factor.new_recovery_codes(connection, ann.id)
    new = second_factor.new_recovery_codes(connection, ann.id)
    assert len(set(new)) == 10 and not second_factor.take_recovery_code(connection, ann.id, old[0], NOW_MS)
    assert second_factor.take_recovery_code(connection, ann.id, f" {new[0].upper()} ", NOW_MS)
    assert not second_factor.take_recovery_code(connection, ann.id, new[0], NOW_MS)
    assert not second_factor.take_recovery_code(connection, bob.id, new[1], NOW_MS)
    assert second_factor.recovery_codes_left(connection, ann.id) == 9


def test_the_qr_code_is_a_picture_of_the_address() -> None:
    uri = second_factor.setup_uri("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "ann@example.org")
    assert uri.startswith("otpauth://totp/Marquetry:ann%40example.org?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    assert second_factor.qr_svg(uri).startswith("<svg") and second_factor.qr_svg(uri) != second_factor.qr_svg(uri + "x")


def test_what_is_old_is_forgotten(connection: Connection, ann: Person, opened: Opened) -> None:
    one_time.issue(connection, Purpose.SOCKET, NOW_MS, user_id=ann.id)
    lockout.begin_attempt(connection, "email:x", NOW_MS)
    for room in (sessions, one_time, lockout):
        room.forget_old(connection, NOW_MS + HOUR_MS)
    assert sessions.standing(connection, opened.session_id) is not None
    for room in (sessions, one_time, lockout):
        room.forget_old(connection, NOW_MS + 60 * 24 * HOUR_MS)
    for table in (tables.sessions, tables.refresh_tokens, tables.one_time_tokens, tables.sign_in_failures):
        assert connection.execute(select(table)).first() is None
