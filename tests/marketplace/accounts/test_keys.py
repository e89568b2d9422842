"""API keys and what they may spend, other applications, security events, monthly calls, signing keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from marquetry.marketplace.accounts import api_keys, call_counts, people, security_events, sso, tables
from marquetry.marketplace.accounts.api_keys import NewKey
from marquetry.marketplace.accounts.caller import Caller
from marquetry.marketplace.accounts.errors import (
    AccountMissing,
    InvalidAccountInput,
    KeySpendLimit,
    PermissionMissing,
    ScopeMissing,
    TokenInvalid,
    WrongCredentials,
)
from marquetry.marketplace.accounts.people import Person
from marquetry.marketplace.accounts.security_events import SecurityEvent
from marquetry.marketplace.accounts.signing import KeyFile, Keys
from marquetry.marketplace.errors import NotConfigured
from tests.marketplace.accounts.conftest import NOW_MS

VERIFIER = "a-verifier-that-is-long-enough-for-the-standard-0123"


def test_a_key_is_shown_once_and_kept_as_a_hash(connection: Connection, ann: Person) -> None:
    key, text = api_keys.make_key(connection, NewKey("mine", frozenset({"read"}), ann.id), NOW_MS)
    assert text.startswith("mq_") and text.startswith(key.prefix) and len(key.prefix) == 11
    assert text not in str(connection.execute(select(tables.api_keys)).all())
    holder = api_keys.holder_of(connection, text)
    assert holder is not None and holder.key == key and holder.roles == {"user"}
    assert api_keys.holder_of(connection, text + "x") is None


def test_keys_are_their_persons_alone(connection: Connection, ann: Person, bob: Person) -> None:
    key, _ = api_keys.make_key(connection, NewKey("mine", frozenset({"read"}), ann.id), NOW_MS)
    with pytest.raises(AccountMissing):
        api_keys.find_key(connection, key.id, bob.id)
    with pytest.raises(AccountMissing):
        api_keys.revoke_key(connection, key.id, bob.id, NOW_MS)
    with pytest.raises(AccountMissing):
        api_keys.change_key(connection, key.id, None, name="theirs")
    assert api_keys.keys_of(connection, bob.id) == [] and api_keys.keys_of(connection, None) == []


def test_what_a_key_spends_never_passes_its_limit(connection: Connection, ann: Person) -> None:
    key, _ = api_keys.make_key(connection, NewKey("k", frozenset({"run"}), ann.id, spend_limit_microcredits=100), NOW_MS)
    api_keys.spend_with_key(connection, key.id, 60)
    with pytest.raises(KeySpendLimit) as refused:
        api_keys.spend_with_key(connection, key.id, 41)
    assert refused.value.details["left_microcredits"] == 40
    api_keys.give_back_to_key(connection, key.id, 20)
    api_keys.spend_with_key(connection, key.id, 60)
    assert api_keys.find_key(connection, key.id, ann.id).spent_microcredits == 100
    free, _ = api_keys.make_key(connection, NewKey("free", frozenset({"run"}), ann.id), NOW_MS)
    api_keys.spend_with_key(connection, free.id, 10**15)


@pytest.mark.parametrize(
    "new",
    [NewKey("", frozenset({"read"})), NewKey("x", frozenset()), NewKey("x", frozenset({"*"})), NewKey("x", frozenset({"read"}), expires_ms=NOW_MS), NewKey("x", frozenset({"read"}), spend_limit_microcredits=-1)],
)  # fmt: skip
def test_keys_that_make_no_sense_are_refused(connection: Connection, new: NewKey) -> None:
    with pytest.raises(InvalidAccountInput):
        api_keys.make_key(connection, new, NOW_MS)


def test_a_key_has_no_power_over_others_without_the_scope_for_it() -> None:
    roles = frozenset({"user", "admin"})
    person, key, strong = (
        Caller("u", roles, session_id="s"),
        Caller("u", roles, frozenset({"read"}), "k"),
        Caller("u", roles, frozenset({"admin"}), "k"),
    )
    assert person.is_admin and strong.is_admin and not key.is_admin
    with pytest.raises(PermissionMissing):
        key.require("users.manage")
    with pytest.raises(ScopeMissing, match="run"):
        key.require_scope("run")
    assert person.is_person and not key.is_person and not strong.is_person


def test_a_code_is_exchanged_once_by_who_knows_the_verifier(connection: Connection, ann: Person) -> None:
    client, secret = sso.add_client(connection, "Shop", ["https://shop.example/back"], NOW_MS)
    challenge = sso.challenge_of(VERIFIER)

    def code() -> str:
        return sso.authorize(connection, ann.id, client.id, "https://shop.example/back", challenge, NOW_MS)

    first = code()
    given = sso.exchange(connection, first, client.id, "https://shop.example/back", VERIFIER, NOW_MS)
    assert not isinstance(given, TokenInvalid) and given.user_id == ann.id
    wrong = [
        (first, client.id, "https://shop.example/back", VERIFIER, NOW_MS),
        (code(), "app_x", "https://shop.example/back", VERIFIER, NOW_MS),
    ]
    wrong += [
        (code(), client.id, "https://evil.example/", VERIFIER, NOW_MS),
        (code(), client.id, "https://shop.example/back", VERIFIER[::-1], NOW_MS),
    ]
    wrong += [(code(), client.id, "https://shop.example/back", VERIFIER, NOW_MS + 61_000)]
    for attempt in wrong:
        assert isinstance(sso.exchange(connection, *attempt), TokenInvalid)
    assert sso.check_client(connection, client.id, secret) == client
    with pytest.raises(WrongCredentials):
        sso.check_client(connection, client.id, "")


def test_codes_go_only_to_addresses_that_were_registered(connection: Connection, ann: Person) -> None:
    client, _ = sso.add_client(connection, "Shop", ["https://shop.example/back"], NOW_MS, confidential=False)
    assert sso.check_client(connection, client.id, "") == client
    for uri, challenge in (("https://shop.example/back/", "x" * 43), ("https://shop.example/back", "short")):
        with pytest.raises(InvalidAccountInput):
            sso.authorize(connection, ann.id, client.id, uri, challenge, NOW_MS)
    for uri in ("http://shop.example/", "javascript:alert(1)", "https://shop.example/#x", "https:///x"):
        with pytest.raises(InvalidAccountInput):
            sso.add_client(connection, "Shop", [uri], NOW_MS)


def test_rules_find_what_is_not_usual_once(connection: Connection) -> None:
    found = []
    for number in range(25):
        event = SecurityEvent("sign_in_failed", NOW_MS + number, address="192.0.2.7")
        found += security_events.record(connection, event)
    assert [finding.details["rule"] for finding in found] == ["many wrong passwords from one address"]
    assert security_events.record(connection, SecurityEvent("token_reused", NOW_MS, owner="u_1"))[0].owner == "u_1"
    assert [event.kind for event in security_events.events_of(connection, "u_1")] == ["suspicious_activity", "token_reused"]


def test_events_are_read_in_pages_by_whom_they_concern(connection: Connection) -> None:
    for number in range(5):
        security_events.record(connection, SecurityEvent("signed_in", NOW_MS + number, owner="u_1" if number % 2 else "u_2"))
    newest = security_events.events_of(connection, None, limit=2)
    assert [event.time_ms - NOW_MS for event in newest] == [4, 3]
    rest = security_events.events_of(connection, None, before=newest[-1].seq)
    assert [event.time_ms - NOW_MS for event in rest] == [2, 1, 0]
    assert {event.owner for event in security_events.events_of(connection, "u_2")} == {"u_2"}
    assert security_events.events_of(connection, None, kinds=("other",)) == []


def test_calls_are_counted_by_month(connection: Connection) -> None:
    month = call_counts.month_of(NOW_MS)
    assert month == 202609
    assert call_counts.add_calls(connection, {"a": 2, "b": 1}, month) == {"a": 2, "b": 1}
    assert call_counts.add_calls(connection, {"a": 3}, month) == {"a": 5}
    assert call_counts.calls_of(connection, "a", month) == 5 and call_counts.calls_of(connection, "a", month + 1) == 0
    assert 0 < call_counts.until_next_month_s(NOW_MS) < 31 * 86400


def test_keys_to_sign_with_are_rotated_while_old_tokens_stay_good(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys" / "accounts.json")
    claims = {"sub": "u", "use": "access", "iat": 1, "exp": 2**33}
    token, sealed = file.current().sign(claims), file.current().seal("a secret")
    assert (file.path.stat().st_mode & 0o777) == 0o600 and KeyFile(file.path).current().keys == file.current().keys
    elsewhere = KeyFile(file.path)
    elsewhere.current()
    file.rotate()
    assert elsewhere.current().keys[0].id == file.current().keys[0].id
    assert elsewhere.current().verify(token, "access")["sub"] == "u" and elsewhere.current().unseal(sealed) == "a secret"
    with pytest.raises(TokenInvalid):
        elsewhere.current().verify(token, "logout")
    with pytest.raises(TokenInvalid):
        KeyFile(tmp_path / "others.json").current().verify(token, "access")
    with pytest.raises(TokenInvalid, match="expired"):
        file.current().verify(file.current().sign(claims | {"exp": 2}), "access")


def test_tokens_that_sign_themselves_are_refused(tmp_path: Path) -> None:
    import jwt

    keys = KeyFile(tmp_path / "accounts.json").current()
    claims = {"sub": "u", "use": "access", "iat": 1, "exp": 2**33}
    unsigned = jwt.encode(claims, None, "none", headers={"kid": keys.keys[0].id})  # type: ignore[arg-type]
    forged = jwt.encode(claims, b"x" * 32, "HS256", headers={"kid": keys.keys[0].id})
    for token in (unsigned, forged, "", "a.b.c", "mq_x"):
        with pytest.raises(TokenInvalid):
            keys.verify(token, "access")


@pytest.mark.parametrize(
    "text", ["", "{}", '{"keys": []}', '{"keys": [{"id": "a", "secret": "c2hvcnQ="}]}', '{"keys": [{"id": "a", "secret": "?"}]}']
)
def test_keys_that_are_none_are_refused_with_how_they_are_written(text: str) -> None:
    with pytest.raises(NotConfigured):
        Keys.parse(text)


def test_a_person_who_is_suspended_suspends_their_keys(connection: Connection, ann: Person) -> None:
    _, text = api_keys.make_key(connection, NewKey("k", frozenset({"read"}), ann.id), NOW_MS)
    people.suspend(connection, ann.id, "", NOW_MS)
    holder = api_keys.holder_of(connection, text)
    assert holder is not None and holder.suspended
