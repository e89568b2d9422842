"""Holds count against the limit of the API key that asked for them, once, and what is not captured may be spent again."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, update

from marquetry.marketplace.accounts import api_keys, tables
from marquetry.marketplace.accounts.api_keys import NewKey
from marquetry.marketplace.accounts.errors import KeySpendLimit
from marquetry.marketplace.ledger import Capture, balance, capture, credit, expire_holds, place_hold, release, reopen_hold, verify
from marquetry.marketplace.ledger.errors import InsufficientCredits

NOW_MS = 1_000
LATER_MS = 1_000_000


@pytest.fixture
def key_id(connection: Connection) -> str:
    """A service's key that may spend 100, of an owner who has 500."""
    credit(connection, owner="ann", amount_microcredits=500, purse="paid", kind="purchase", key="gift", now_ms=NOW_MS)
    return api_keys.make_key(connection, NewKey("k", frozenset({"run"}), spend_limit_microcredits=100), NOW_MS)[0].id


def spent(connection: Connection, key_id: str) -> int:
    return api_keys.find_key(connection, key_id, None).spent_microcredits


def hold(connection: Connection, key_id: str, run_id: str, amount: int) -> None:
    place_hold(connection, owner="ann", run_id=run_id, amount_microcredits=amount, now_ms=NOW_MS, key_id=key_id)


def test_a_hold_counts_once_and_what_is_left_of_it_may_be_spent_again(connection: Connection, key_id: str) -> None:
    for _ in range(2):
        hold(connection, key_id, "one", 80)
    assert spent(connection, key_id) == 80
    capture(connection, [Capture("one", "n", "node", 30)], NOW_MS)
    for _ in range(2):
        release(connection, "one", NOW_MS)
    assert spent(connection, key_id) == 30
    hold(connection, key_id, "two", 70)
    assert spent(connection, key_id) == 100


def test_what_passes_the_limit_is_refused_and_leaves_nothing_behind(connection: Connection, key_id: str) -> None:
    hold(connection, key_id, "one", 80)
    with pytest.raises(KeySpendLimit) as refused:
        hold(connection, key_id, "two", 21)
    assert refused.value.details == {"key_id": key_id, "left_microcredits": 20, "required_microcredits": 21}
    found = balance(connection, "ann")
    assert (found.spendable, found.held, spent(connection, key_id)) == (420, 80, 80)
    place_hold(connection, owner="ann", run_id="two", amount_microcredits=21, now_ms=NOW_MS)  # by the person themselves
    assert verify(connection) == []


def test_what_the_credits_are_too_few_for_is_not_counted(connection: Connection, key_id: str) -> None:
    connection.execute(update(tables.api_keys).values(spend_limit_microcredits=None))
    with pytest.raises(InsufficientCredits):
        hold(connection, key_id, "one", 501)
    assert spent(connection, key_id) == 0


def test_a_hold_that_expires_gives_back_and_counts_anew_when_it_is_reopened(connection: Connection, key_id: str) -> None:
    hold(connection, key_id, "one", 80)
    assert expire_holds(connection, LATER_MS) == 1 and spent(connection, key_id) == 0
    reopen_hold(connection, run_id="one", amount_microcredits=60, now_ms=LATER_MS)
    assert spent(connection, key_id) == 60
    release(connection, "one", LATER_MS)
    hold(connection, key_id, "two", 90)
    with pytest.raises(KeySpendLimit):
        reopen_hold(connection, run_id="one", amount_microcredits=60, now_ms=LATER_MS)
    assert spent(connection, key_id) == 90
