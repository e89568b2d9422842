"""Registering, signing in and out, second factor, passwords: over HTTP, on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pyotp
import pytest
import pytest_asyncio

from marquetry.marketplace.accounts import passwords
from tests.server.peer import Peer, served
from tests.server.people import PASSWORD, accounts, add, log_in, mails, with_accounts


@pytest_asyncio.fixture
async def peer(tmp_path: Path) -> AsyncIterator[Peer]:
    async with with_accounts(tmp_path / "data") as running:
        yield running


def code_of(response: dict[str, Any]) -> str:
    return str(response["error"]["code"])


async def test_without_accounts_everything_is_as_it_was_and_the_way_to_switch_them_on_is_told(tmp_path: Path) -> None:
    async with served(tmp_path / "data") as peer:
        me = await peer.json("GET", "/api/v1/auth/me")
        assert (me["id"], me["accounts"], me["roles"]) == ("default", False, ["admin", "user"])
        assert (await peer.json("GET", "/auth/options"))["accounts"] is False
        refused = await peer.json("POST", "/api/v1/auth/login", 503, json={"email": "a@example.org", "password": "x"})
        assert code_of(refused) == "accounts_off" and "MARQUETRY_ACCOUNTS__ENABLED" in refused["error"]["message"]
        assert await peer.json("GET", "/queue") == {"queue_running": [], "queue_pending": []}


async def test_somebody_registers_confirms_and_signs_in(peer: Peer, tmp_path: Path) -> None:
    new = {"email": "Ann@Example.org", "password": PASSWORD, "name": "Ann"}
    await peer.json("POST", "/api/v1/auth/register", 202, json=new)
    assert code_of(await log_in(peer, "ann@example.org", status=401)) == "wrong_credentials"
    ((to, _, token),) = await mails(peer, tmp_path / "data")
    assert to == "Ann@Example.org"
    await peer.json("POST", "/api/v1/auth/confirm-email", json={"token": token})
    assert code_of(await peer.json("POST", "/api/v1/auth/confirm-email", 401, json={"token": token})) == "token_invalid"
    tokens = await log_in(peer, "ann@example.org")
    assert 890 <= tokens["expires_in_s"] <= 900 and tokens["refresh_in_s"] == tokens["expires_in_s"] * 4 // 5
    me = await peer.json("GET", "/auth/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert (me["email"], me["name"], me["roles"]) == ("Ann@Example.org", "Ann", ["user"])


async def test_answers_do_not_tell_which_addresses_are_known(peer: Peer, tmp_path: Path) -> None:
    await add(peer, "ann")
    answers = []
    for address in ("ann@example.org", "nobody@example.org"):
        told = [await peer.json("POST", "/api/v1/auth/register", 202, json={"email": address, "password": PASSWORD})]
        told.append(await peer.json("POST", "/api/v1/auth/forgot-password", 202, json={"email": address}))
        told += [await log_in(peer, address, "wrong password", 401) for _ in range(5)]
        told.append(code_of(await log_in(peer, address, "wrong password", 429)))
        answers.append(told)
    known, unknown = answers
    assert known == unknown
    subjects = {(to, subject.partition(" - ")[0]) for to, subject, _ in await mails(peer, tmp_path / "data")}
    assert subjects == {
        ("ann@example.org", "You have an account already"),
        ("ann@example.org", "Set a new password"),
        ("nobody@example.org", "Confirm your e-mail address"),
    }


async def test_a_wrong_password_costs_the_same_work_for_addresses_that_nobody_has(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    await add(peer, "ann")
    hasher, compared = passwords._hasher(), list[str]()

    class Counting:
        def verify(self, kept: str, password: str) -> bool:
            compared.append(kept.split("$")[3])
            return hasher.verify(kept, password)

    monkeypatch.setattr(passwords, "_hasher", lambda: Counting())
    for address in ("ann@example.org", "nobody@example.org"):
        await log_in(peer, address, "wrong password", 401)
    assert len(compared) == 2 and compared[0] == compared[1]


async def test_after_five_wrong_passwords_the_right_one_waits_too(peer: Peer) -> None:
    await add(peer, "ann")
    for _ in range(5):
        await log_in(peer, "ann@example.org", "wrong password", 401)
    async with peer.session.post("/auth/login", json={"email": "ann@example.org", "password": PASSWORD}) as answer:
        assert answer.status == 429 and 0 < int(answer.headers["Retry-After"]) <= 60
        assert code_of(await answer.json()) == "sign_in_locked"


async def test_weak_passwords_and_what_is_no_address_are_refused_with_reasons(peer: Peer) -> None:
    weak = await peer.json("POST", "/auth/register", 400, json={"email": "ann@example.org", "password": "password"})
    assert code_of(weak) == "weak_password" and len(weak["error"]["details"]["reasons"]) == 3
    for body in ({"email": "ann", "password": PASSWORD}, {"password": PASSWORD}, {"email": "a@example.org", "password": "x" * 2000}):
        await peer.json("POST", "/auth/register", 400, json=body)
    await peer.json("POST", "/auth/register", 413, data=b"x" * 100_000)


async def test_a_refresh_token_is_good_once_and_a_second_use_ends_the_session(peer: Peer, tmp_path: Path) -> None:
    ann = await add(peer, "ann")
    following = await peer.json("POST", "/auth/refresh", json={"refresh_token": ann.tokens["refresh_token"]})
    assert code_of(await peer.json("POST", "/auth/refresh", 401, json={"refresh_token": ann.tokens["refresh_token"]})) == "token_reused"
    for token in (following["refresh_token"], "mqr_unknown", ""):
        await peer.json("POST", "/auth/refresh", 401, json={"refresh_token": token})
    for token in (following["access_token"], ann.tokens["access_token"]):
        await peer.json("GET", "/auth/me", 401, headers={"Authorization": f"Bearer {token}"})
    assert [subject.partition(" - ")[0] for _, subject, _ in await mails(peer, tmp_path / "data")] == ["You were signed out everywhere"]


async def test_signing_out_ends_access_at_once_here_or_everywhere(peer: Peer) -> None:
    ann = await add(peer, "ann")
    second = await log_in(peer, ann.email)
    other = {"Authorization": f"Bearer {second['access_token']}"}
    assert [session["current"] for session in (await ann.json("GET", "/auth/sessions"))["sessions"]].count(True) == 1
    await peer.json("POST", "/auth/logout", headers=other)
    await peer.json("GET", "/auth/me", 401, headers=other)
    await peer.json("POST", "/auth/refresh", 401, json={"refresh_token": second["refresh_token"]})
    third = await log_in(peer, ann.email)
    await ann.json("POST", "/auth/logout-everywhere", json={"keep_this": True})
    await peer.json("GET", "/auth/me", 401, headers={"Authorization": f"Bearer {third['access_token']}"})
    await ann.json("GET", "/auth/me")
    await ann.json("POST", "/auth/logout-everywhere")
    await ann.json("GET", "/auth/me", 401)


async def test_a_session_is_ended_by_its_person_alone(peer: Peer) -> None:
    ann, bob = await add(peer, "ann"), await add(peer, "bob")
    await bob.json("DELETE", f"/auth/sessions/{ann.tokens['session_id']}", 404)
    await ann.json("DELETE", f"/auth/sessions/{ann.tokens['session_id']}")
    await ann.json("GET", "/auth/me", 401)


async def test_a_forgotten_password_is_set_anew_with_a_mailed_link_once(peer: Peer, tmp_path: Path) -> None:
    ann = await add(peer, "ann")
    await peer.json("POST", "/auth/forgot-password", 202, json={"email": "ANN@example.org"})
    ((_, _, token),) = await mails(peer, tmp_path / "data")
    await peer.json("POST", "/auth/reset-password", 400, json={"token": token, "password": "weak"})
    await peer.json("POST", "/auth/reset-password", json={"token": token, "password": "another Crane 8 bends"})
    await peer.json("POST", "/auth/reset-password", 401, json={"token": token, "password": "another Crane 9 bends"})
    await ann.json("GET", "/auth/me", 401)
    await log_in(peer, ann.email, status=401)
    await log_in(peer, ann.email, "another Crane 8 bends")


async def test_a_password_is_changed_by_who_knows_the_old_one(peer: Peer) -> None:
    ann = await add(peer, "ann")
    other = await log_in(peer, ann.email)
    await ann.json("POST", "/auth/password", 401, json={"current": "wrong", "password": "another Crane 8 bends"})
    await ann.json("POST", "/auth/password", json={"current": PASSWORD, "password": "another Crane 8 bends"})
    await ann.json("GET", "/auth/me")
    await peer.json("GET", "/auth/me", 401, headers={"Authorization": f"Bearer {other['access_token']}"})
    await log_in(peer, ann.email, "another Crane 8 bends")


async def test_another_address_is_taken_once_it_was_confirmed(peer: Peer, tmp_path: Path) -> None:
    ann, bob = await add(peer, "ann"), await add(peer, "bob")
    await ann.json("POST", "/auth/email", 202, json={"password": PASSWORD, "email": "anna@example.org"})
    ((to, _, token),) = await mails(peer, tmp_path / "data")
    assert to == "anna@example.org" and (await ann.json("GET", "/auth/me"))["email"] == ann.email
    await peer.json("POST", "/auth/email/confirm", json={"token": token})
    assert (await ann.json("GET", "/auth/me"))["email"] == "anna@example.org"
    assert (await mails(peer, tmp_path / "data"))[1][0] == "ann@example.org"
    await bob.json("POST", "/auth/email", 202, json={"password": PASSWORD, "email": "anna@example.org"})
    token = (await mails(peer, tmp_path / "data"))[-1][2]
    await peer.json("POST", "/auth/email/confirm", 409, json={"token": token})


async def test_a_second_factor_is_asked_for_once_it_is_set_up(peer: Peer) -> None:
    ann = await add(peer, "ann")
    setup = await ann.json("POST", "/auth/second-factor/setup", json={"password": PASSWORD})
    assert setup["qr_svg"].startswith("<svg")
    app, now_s = pyotp.TOTP(setup["secret"]), accounts(peer).clock_ms() // 1000
    await ann.json("POST", "/auth/second-factor/confirm", 401, json={"code": "000000" if app.at(now_s) != "000000" else "111111"})
    recovery = (await ann.json("POST", "/auth/second-factor/confirm", json={"code": app.at(now_s)}))["recovery_codes"]
    refused = await log_in(peer, ann.email, status=401)
    assert code_of(refused) == "second_factor_required"
    challenge = refused["error"]["details"]["challenge"]
    again = {"challenge": challenge, "code": app.at(now_s)}
    assert code_of(await peer.json("POST", "/auth/login/second-factor", 401, json=again)) == "wrong_credentials"
    accounts(peer).clock_ms = lambda: (now_s + 30) * 1000
    await peer.json("POST", "/auth/login/second-factor", json={"challenge": challenge, "code": app.at(now_s + 30)})
    await peer.json("POST", "/auth/login/second-factor", 401, json={"challenge": challenge, "code": recovery[0]})
    await log_in(peer, ann.email, code=recovery[0])
    await log_in(peer, ann.email, code=recovery[0], status=401)
    assert (await ann.json("GET", "/auth/me"))["recovery_codes_left"] == 9
    await ann.json("POST", "/auth/second-factor/remove", json={"password": PASSWORD, "code": recovery[1]})
    await log_in(peer, ann.email)


async def test_codes_are_not_tried_out_without_end(peer: Peer) -> None:
    ann = await add(peer, "ann")
    secret = (await ann.json("POST", "/auth/second-factor/setup", json={"password": PASSWORD}))["secret"]
    now_s = accounts(peer).clock_ms() // 1000
    await ann.json("POST", "/auth/second-factor/confirm", json={"code": pyotp.TOTP(secret).at(now_s)})
    challenge = (await log_in(peer, ann.email, status=401))["error"]["details"]["challenge"]
    statuses = []
    for number in range(6):
        async with peer.session.post("/auth/login/second-factor", json={"challenge": challenge, "code": f"{number:06}"}) as answer:
            statuses.append(answer.status)
    assert statuses[-1] == 429 and statuses[0] == 401


async def test_where_registration_is_closed_only_the_operator_adds_people(tmp_path: Path) -> None:
    async with with_accounts(tmp_path / "data", settings={"registration": "closed"}) as peer:
        await peer.json("POST", "/auth/register", 403, json={"email": "ann@example.org", "password": PASSWORD})


async def test_without_confirming_one_is_signed_in_at_once_and_known_addresses_are_told(tmp_path: Path) -> None:
    async with with_accounts(tmp_path / "data", settings={"confirm_email": False}) as peer:
        tokens = await peer.json("POST", "/auth/register", 201, json={"email": "ann@example.org", "password": PASSWORD})
        await peer.json("GET", "/auth/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
        await peer.json("POST", "/auth/register", 409, json={"email": "ann@example.org", "password": PASSWORD})


async def test_what_happened_is_told_to_whom_it_concerns(peer: Peer) -> None:
    ann, bob = await add(peer, "ann"), await add(peer, "bob")
    await log_in(peer, ann.email, "wrong password", 401)
    events = (await ann.json("GET", "/api/v1/security/events"))["events"]
    assert [event["kind"] for event in events] == ["sign_in_failed", "signed_in"]
    assert events[0]["address"] == "127.0.0.1" and "aiohttp" in events[0]["user_agent"]
    assert [event["kind"] for event in (await bob.json("GET", "/security/events"))["events"]] == ["signed_in"]
    await bob.json("GET", "/api/v1/admin/security/events", 403)


async def test_a_profile_is_read_and_changed(peer: Peer) -> None:
    ann = await add(peer, "ann")
    changed = await ann.json("PUT", "/api/user/profile", json={"name": "Ann Lee", "has_completed_beta_signup": True, "avatar": "/view?x"})
    assert (changed["name"], changed["has_completed_beta_signup"], changed["email"]) == ("Ann Lee", True, ann.email)
    assert await ann.json("GET", "/api/v1/user/profile") == changed and changed["updated_at"] >= changed["created_at"]
    for wrong in ({"name": "x" * 300}, {"name": "a\nb"}, {"avatar": "javascript:alert(1)"}, {"avatar": "//evil.example/x"}):
        await ann.json("PUT", "/api/v1/user/profile", 400, json=wrong)
