"""Holds and captures: drawn granted first, charged once per node, never beyond the hold, given back to where they came from."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from marquetry.marketplace.errors import MarketError
from marquetry.marketplace.ledger import (
    Balance,
    Capture,
    Captured,
    Share,
    balance,
    capture,
    capture_each,
    credit,
    earnings,
    expire_grants,
    expire_holds,
    find_hold,
    place_hold,
    platform_totals,
    release,
    renew_holds,
    reopen_hold,
    verify,
)
from marquetry.marketplace.ledger.errors import (
    HoldClosed,
    HoldExceeded,
    InsufficientCredits,
    InvalidEntry,
    KeyReused,
    TooManyHolds,
    UnknownHold,
)

NOW_MS = 1_000
LATER_MS = 1_000_000


def fund(connection: Connection, owner: str = "ann", paid: int = 1000, granted: int = 0, expires_ms: int | None = None) -> None:
    if paid:
        credit(connection, owner=owner, amount_microcredits=paid, purse="paid", kind="purchase", key=f"{owner} paid", now_ms=NOW_MS)
    if granted:
        key = f"{owner} granted {expires_ms}"
        credit(
            connection, owner=owner, amount_microcredits=granted, purse="granted", kind="bonus", key=key, now_ms=NOW_MS, expires_ms=expires_ms
        )  # fmt: skip


def hold(connection: Connection, amount: int, run_id: str = "run", owner: str = "ann") -> None:
    place_hold(connection, owner=owner, run_id=run_id, amount_microcredits=amount, now_ms=NOW_MS)


def charge(amount: int, node_id: str = "1", *shares: Share, run_id: str = "run", operation: str = "") -> Capture:
    return Capture(run_id, node_id, "node", amount, shares, operation)


def test_grants_are_drawn_before_what_was_paid_for_and_those_that_end_first_before_others(connection: Connection) -> None:
    fund(connection, paid=1000, granted=100)
    fund(connection, paid=0, granted=50, expires_ms=LATER_MS)
    hold(connection, 60)
    assert balance(connection, "ann") == Balance(paid=1000, granted=90, held=60)
    capture(connection, [charge(55)], NOW_MS)
    assert release(connection, "run", NOW_MS) == 5
    assert expire_grants(connection, LATER_MS) == 0  # the 50 that would have ended now were spent, what came back has no end
    hold(connection, 1050, "second")
    assert balance(connection, "ann") == Balance(paid=45, granted=0, held=1050)
    assert verify(connection) == []


def test_a_hold_beyond_the_balance_is_refused_with_both_numbers(connection: Connection) -> None:
    fund(connection, paid=10, granted=5)
    with pytest.raises(InsufficientCredits) as raised:
        hold(connection, 16)
    assert raised.value.details == {"balance": 15, "required": 16}
    assert balance(connection, "ann") == Balance(10, 5, 0)
    assert find_hold(connection, "run") is None


def test_a_grant_that_has_expired_is_not_drawn_even_before_it_is_swept(connection: Connection) -> None:
    fund(connection, paid=10, granted=100, expires_ms=NOW_MS + 1)
    with pytest.raises(InsufficientCredits):
        place_hold(connection, owner="ann", run_id="run", amount_microcredits=11, now_ms=NOW_MS + 1)
    assert expire_grants(connection, NOW_MS + 1) == 1
    assert balance(connection, "ann") == Balance(10, 0, 0)
    assert platform_totals(connection)["promotion"] == 0


def test_a_hold_that_is_placed_twice_is_placed_once(connection: Connection) -> None:
    fund(connection)
    first = place_hold(connection, owner="ann", run_id="run", amount_microcredits=300, now_ms=NOW_MS)
    assert place_hold(connection, owner="ann", run_id="run", amount_microcredits=300, now_ms=LATER_MS) == first
    assert balance(connection, "ann") == Balance(700, 0, 300)
    for owner, amount in (("ann", 301), ("bob", 300)):
        with pytest.raises(KeyReused):
            place_hold(connection, owner=owner, run_id="run", amount_microcredits=amount, now_ms=NOW_MS)


def test_a_free_run_has_a_hold_of_nothing(connection: Connection) -> None:
    hold(connection, 0)
    hold(connection, 0)
    assert [done.replayed for done in capture(connection, [charge(0)], NOW_MS)] == [False]
    assert [done.replayed for done in capture(connection, [charge(0)], NOW_MS)] == [True]
    assert release(connection, "run", NOW_MS) == 0
    assert verify(connection) == []


def test_a_capture_is_divided_between_creators_and_the_platform(connection: Connection) -> None:
    fund(connection)
    hold(connection, 500)
    shares = (Share("cam", "lora", 75, "lora:7500:royalty"), Share("dee", "graph", 20), Share("cam", "style", 1))
    (done,) = capture(connection, [charge(100, "1", *shares)], NOW_MS)
    assert (done.amount_microcredits, done.remaining_microcredits, done.replayed) == (100, 400, False)
    assert (earnings(connection, "cam").accrued, earnings(connection, "dee").accrued) == (76, 20)
    assert platform_totals(connection)["revenue"] == 4
    assert verify(connection) == []


def test_a_node_is_charged_once_and_another_charge_for_it_is_refused(connection: Connection) -> None:
    fund(connection)
    hold(connection, 500)
    (done,) = capture(connection, [charge(100, "1", Share("cam", "lora", 75))], NOW_MS)
    (again,) = capture(connection, [charge(100, "1", Share("cam", "lora", 75))], LATER_MS)
    assert (again.id, again.replayed) == (done.id, True)
    for other in (charge(101, "1", Share("cam", "lora", 75)), charge(100, "1", Share("dee", "lora", 75)), charge(100, "1")):
        with pytest.raises(KeyReused):
            capture(connection, [other], NOW_MS)
    twice = capture(connection, [charge(7, "2"), charge(7, "2")], NOW_MS)
    assert [entry.replayed for entry in twice] == [False, True]
    assert balance(connection, "ann").held == 393


def test_a_capture_stands_after_the_hold_has_ended(connection: Connection) -> None:
    fund(connection)
    hold(connection, 500)
    capture(connection, [charge(100)], NOW_MS)
    release(connection, "run", NOW_MS)
    assert capture(connection, [charge(100)], NOW_MS)[0].replayed
    with pytest.raises(HoldClosed):
        capture(connection, [charge(1, "2")], NOW_MS)


def test_captures_never_exceed_the_hold(connection: Connection) -> None:
    fund(connection)
    hold(connection, 100)
    with pytest.raises(HoldExceeded) as raised:
        capture(connection, [charge(60, "1"), charge(41, "2")], NOW_MS)
    assert raised.value.details == {"remaining": 40, "required": 41}
    assert balance(connection, "ann").held == 100  # all or none
    found = capture_each(connection, [charge(60, "1"), charge(41, "2"), charge(40, "3"), charge(1, run_id="none")], NOW_MS)
    assert [type(entry) for entry in found] == [Captured, HoldExceeded, Captured, UnknownHold]
    assert balance(connection, "ann").held == 0
    assert verify(connection) == []


@pytest.mark.parametrize(
    "wrong",
    [
        charge(-1),
        charge(10**15 + 1),
        charge(5, "1", Share("cam", "lora", 6)),
        charge(5, "1", Share("cam", "lora", 7), Share("dee", "lora", -2)),
        charge(5, "1", Share("", "lora", 1)),
        charge(5, "x\x00y"),
        charge(5, "\ud800"),
        charge(5, "x" * 513),
        charge(True),
        charge(5, "1", *[Share("cam", str(place), 0) for place in range(1001)]),
    ],
)
def test_what_can_not_be_a_capture_is_refused(connection: Connection, wrong: Capture) -> None:
    fund(connection)
    hold(connection, 100)
    with pytest.raises(InvalidEntry):
        capture(connection, [wrong], NOW_MS)
    (result,) = capture_each(connection, [wrong], NOW_MS)
    assert isinstance(result, InvalidEntry)
    assert balance(connection, "ann").held == 100


def test_what_is_not_captured_goes_back_to_where_it_came_from(connection: Connection) -> None:
    fund(connection, paid=100, granted=40)
    hold(connection, 120)
    capture(connection, [charge(10)], NOW_MS)
    assert release(connection, "run", NOW_MS) == 110
    assert release(connection, "run", NOW_MS) == 0
    assert release(connection, "never held", NOW_MS) == 0
    assert balance(connection, "ann") == Balance(paid=100, granted=30, held=0)


def test_holds_expire_when_nobody_renews_them(connection: Connection) -> None:
    fund(connection)
    for run_id in ("lives", "dies", "renewed too late"):
        place_hold(connection, owner="ann", run_id=run_id, amount_microcredits=100, now_ms=NOW_MS, ttl_ms=1000)
    renew_holds(connection, ["lives", "unknown"], NOW_MS + 500, ttl_ms=1000)
    assert expire_holds(connection, NOW_MS + 999, 10) == 0
    assert expire_holds(connection, NOW_MS + 1000, 1) == 1
    assert expire_holds(connection, NOW_MS + 1000, 10) == 1
    renew_holds(connection, ["renewed too late"], NOW_MS + 1100)
    states = {run_id: getattr(find_hold(connection, run_id), "state", None) for run_id in ("lives", "dies", "renewed too late")}
    assert states == {"lives": "open", "dies": "expired", "renewed too late": "expired"}
    assert balance(connection, "ann") == Balance(900, 0, 100)


def test_renewing_never_shortens_a_hold(connection: Connection) -> None:
    fund(connection)
    place_hold(connection, owner="ann", run_id="run", amount_microcredits=1, now_ms=NOW_MS, ttl_ms=10_000)
    renew_holds(connection, ["run"], NOW_MS, ttl_ms=10)
    found = find_hold(connection, "run")
    assert found is not None and found.expires_ms == NOW_MS + 10_000


def test_a_run_that_goes_on_after_its_hold_expired_is_held_again_and_no_node_is_charged_twice(connection: Connection) -> None:
    fund(connection, paid=0, granted=200)
    hold(connection, 100)
    capture(connection, [charge(30, "1")], NOW_MS)
    expire_holds(connection, LATER_MS, 10)
    reopened = reopen_hold(connection, run_id="run", amount_microcredits=70, now_ms=LATER_MS)
    assert (reopened.state, reopened.remaining_microcredits) == ("open", 70)
    assert reopen_hold(connection, run_id="run", amount_microcredits=70, now_ms=LATER_MS) == reopened
    found = capture(connection, [charge(30, "1"), charge(70, "2")], LATER_MS)
    assert [entry.replayed for entry in found] == [True, False]
    assert balance(connection, "ann") == Balance(0, 100, 0)
    with pytest.raises(UnknownHold):
        reopen_hold(connection, run_id="never", amount_microcredits=1, now_ms=NOW_MS)
    assert verify(connection) == []


def test_the_number_of_open_holds_of_one_owner_is_limited(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marquetry.marketplace.ledger.holds.MAX_OPEN_HOLDS", 2)
    fund(connection)
    hold(connection, 1, "a")
    hold(connection, 1, "b")
    with pytest.raises(TooManyHolds):
        hold(connection, 1, "c")
    release(connection, "a", NOW_MS)
    hold(connection, 1, "c")


def test_what_was_refused_has_written_nothing_even_when_the_transaction_goes_on(connection: Connection) -> None:
    fund(connection)
    hold(connection, 100)
    before = platform_totals(connection)
    for wrong in ([charge(50, "1"), charge(51, "2")], [charge(1, "1"), charge(1, run_id="none")]):
        with pytest.raises(MarketError):
            capture(connection, wrong, NOW_MS)
    assert platform_totals(connection) == before
    assert verify(connection) == []
