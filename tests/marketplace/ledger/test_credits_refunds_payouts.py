"""Credits in and out, refunds to where credits came from, payouts in two steps; each once for its key."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Connection

from marquetry.marketplace.ledger import (
    Balance,
    Capture,
    Share,
    balance,
    begin_payout,
    cancel_payout,
    capture,
    credit,
    debit,
    earnings,
    entries,
    expire_grants,
    payouts_of,
    place_hold,
    platform_totals,
    refund,
    release,
    settle_payout,
    verify,
)
from marquetry.marketplace.ledger.accounts import shard_of
from marquetry.marketplace.ledger.errors import (
    InsufficientCredits,
    InsufficientEarnings,
    InvalidEntry,
    KeyReused,
    PayoutClosed,
    RefundExceeded,
    UnknownCapture,
    UnknownPayout,
)
from marquetry.marketplace.ledger.values import Purse

NOW_MS = 1_000


def give(connection: Connection, amount: int, key: str, owner: str = "ann", purse: Purse = "paid", expires_ms: int | None = None) -> int:
    return credit(
        connection, owner=owner, amount_microcredits=amount, purse=purse, kind="purchase", key=key, now_ms=NOW_MS, expires_ms=expires_ms
    )  # fmt: skip


def charged(connection: Connection, amount: int, *shares: Share, owner: str = "ann", run_id: str = "run", node_id: str = "1") -> None:
    place_hold(connection, owner=owner, run_id=run_id, amount_microcredits=amount, now_ms=NOW_MS)
    capture(connection, [Capture(run_id, node_id, "node", amount, shares)], NOW_MS)


def give_back(connection: Connection, key: str, amount: int | None = None, run_id: str = "run", node_id: str = "1") -> int:
    return refund(
        connection, run_id=run_id, node_id=node_id, kind="node", amount_microcredits=amount, key=key, reason="it was bad", now_ms=NOW_MS
    )  # fmt: skip


def test_a_credit_happens_once_for_its_key(connection: Connection) -> None:
    first = give(connection, 100, "k")
    assert give(connection, 100, "k") == first
    assert balance(connection, "ann") == Balance(100, 0, 0)
    others: list[Callable[[], int]] = [
        lambda: give(connection, 101, "k"),
        lambda: give(connection, 100, "k", owner="bob"),
        lambda: give(connection, 100, "k", purse="granted"),
    ]
    for other in others:
        with pytest.raises(KeyReused):
            other()
    assert platform_totals(connection)["clearing"] == -100


@pytest.mark.parametrize("wrong", [{"amount_microcredits": 0}, {"amount_microcredits": -5}, {"amount_microcredits": 2**60}, {"owner": ""},
                                   {"owner": "x" * 129}, {"key": ""}, {"kind": "x" * 33}, {"purse": "stolen"}, {"expires_ms": 5000},
                                   {"amount_microcredits": 1.0}, {"key": "a\x00b"}])  # fmt: skip
def test_what_can_not_be_a_credit_is_refused(connection: Connection, wrong: dict[str, object]) -> None:
    sound: dict[str, object] = {"owner": "ann", "amount_microcredits": 5, "purse": "paid", "kind": "bonus", "key": "k", "now_ms": NOW_MS}
    with pytest.raises(InvalidEntry):
        credit(connection, **{**sound, **wrong})  # type: ignore[arg-type]


def test_descriptions_are_kept_as_far_as_they_can_be(connection: Connection) -> None:
    for place, text in enumerate(("fine", "a\x00b", "half \ud800 a pair", "x" * 600)):
        credit(connection, owner="ann", amount_microcredits=1, purse="paid", kind="bonus", key=str(place), description=text, now_ms=NOW_MS)
    assert [entry.description for entry in entries(connection, "ann")] == ["x" * 512, "half  a pair", "ab", "fine"]


def test_credits_are_taken_back_once_and_never_below_zero(connection: Connection) -> None:
    give(connection, 100, "k")
    give(connection, 30, "g", purse="granted")

    def take(amount: int, key: str, partly: bool = False, purse: Purse = "paid") -> int:
        return debit(
            connection, owner="ann", amount_microcredits=amount, purse=purse, kind="dispute", key=key, now_ms=NOW_MS, partly=partly
        )  # fmt: skip

    assert (take(60, "first"), take(60, "first")) == (60, 60)
    with pytest.raises(InsufficientCredits) as raised:
        take(60, "second")
    assert raised.value.details == {"balance": 40, "required": 60}
    assert (take(60, "second", partly=True), take(60, "second", partly=True)) == (40, 40)
    assert (take(5, "third", partly=True), take(5, "third", partly=True)) == (0, 0)
    assert take(10, "fourth", purse="granted") == 10
    assert balance(connection, "ann") == Balance(0, 20, 0)
    assert verify(connection) == []


def test_a_refund_goes_back_to_where_the_credits_came_from(connection: Connection) -> None:
    give(connection, 100, "paid")
    give(connection, 30, "granted", purse="granted")
    charged(connection, 50, Share("cam", "lora", 20))
    assert balance(connection, "ann") == Balance(80, 0, 0)
    assert (give_back(connection, "r1", 25), balance(connection, "ann")) == (25, Balance(100, 5, 0))
    assert (give_back(connection, "r2"), balance(connection, "ann")) == (25, Balance(100, 30, 0))
    assert earnings(connection, "cam").accrued == 0
    assert platform_totals(connection)["revenue"] == 0
    assert verify(connection) == []


def test_a_refund_happens_once_for_its_key_and_never_beyond_the_capture(connection: Connection) -> None:
    give(connection, 100, "paid")
    charged(connection, 50)
    assert (give_back(connection, "r", 30), give_back(connection, "r", 30)) == (30, 30)
    with pytest.raises(KeyReused):
        give_back(connection, "r", 20)
    with pytest.raises(RefundExceeded) as raised:
        give_back(connection, "more", 21)
    assert raised.value.details == {"remaining": 20, "required": 21}
    assert give_back(connection, "rest") == 20
    with pytest.raises(RefundExceeded):
        give_back(connection, "again")
    with pytest.raises(UnknownCapture):
        give_back(connection, "other", node_id="2")


def test_creators_give_back_in_proportion_and_to_the_micro_credit_in_the_end(connection: Connection) -> None:
    give(connection, 1000, "paid")
    charged(connection, 100, Share("cam", "lora", 33), Share("dee", "graph", 33), Share("cam", "style", 1))
    for place in range(7):
        give_back(connection, f"part {place}", 13)
        refunded = 13 * (place + 1)
        assert earnings(connection, "dee").accrued == 33 - 33 * refunded // 100
        assert verify(connection) == []
    give_back(connection, "rest")
    assert (earnings(connection, "cam").accrued, earnings(connection, "dee").accrued, platform_totals(connection)["revenue"]) == (0, 0, 0)


def test_a_refund_to_a_grant_that_has_expired_expires_too(connection: Connection) -> None:
    give(connection, 30, "granted", purse="granted", expires_ms=NOW_MS + 5)
    charged(connection, 30)
    give_back(connection, "r")
    assert balance(connection, "ann").granted == 30
    assert expire_grants(connection, NOW_MS + 5) == 1
    assert balance(connection, "ann").granted == 0
    assert verify(connection) == []


def test_earnings_leave_in_two_steps(connection: Connection) -> None:
    for place, owner in enumerate(("ann", "bob", "eve", "joe")):  # buyers in several shards
        give(connection, 100, f"paid {owner}", owner=owner)
        charged(connection, 100, Share("cam", "lora", 75), owner=owner, run_id=f"run {place}")
    assert len({shard_of(owner) for owner in ("ann", "bob", "eve", "joe")}) > 2
    begun = begin_payout(connection, creator="cam", amount_microcredits=200, key="june", now_ms=NOW_MS)
    assert begin_payout(connection, creator="cam", amount_microcredits=200, key="june", now_ms=NOW_MS + 9) == begun
    found = earnings(connection, "cam")
    assert (found.accrued, found.payable, found.paid_out) == (100, 200, 0)
    settled = settle_payout(connection, key="june", now_ms=NOW_MS + 5)
    assert settle_payout(connection, key="june", now_ms=NOW_MS + 9) == settled
    assert payouts_of(connection, "cam") == [settled]
    found = earnings(connection, "cam")
    assert (found.accrued, found.payable, found.paid_out) == (100, 0, 200)
    assert platform_totals(connection)["bank"] == 200
    with pytest.raises(PayoutClosed):
        cancel_payout(connection, key="june", now_ms=NOW_MS)
    assert verify(connection) == []


def test_a_payout_that_is_cancelled_gives_the_earnings_back(connection: Connection) -> None:
    give(connection, 100, "paid")
    charged(connection, 100, Share("cam", "lora", 75))
    begin_payout(connection, creator="cam", amount_microcredits=75, key="june", now_ms=NOW_MS)
    for _ in range(2):
        assert cancel_payout(connection, key="june", now_ms=NOW_MS).state == "cancelled"
    assert earnings(connection, "cam").accrued == 75
    with pytest.raises(PayoutClosed):
        settle_payout(connection, key="june", now_ms=NOW_MS)
    with pytest.raises(UnknownPayout):
        settle_payout(connection, key="july", now_ms=NOW_MS)
    assert verify(connection) == []


def test_no_payout_exceeds_the_earnings_and_none_happens_twice(connection: Connection) -> None:
    give(connection, 100, "paid")
    charged(connection, 100, Share("cam", "lora", 75))
    for creator, amount in (("cam", 76), ("nobody", 1)):
        with pytest.raises(InsufficientEarnings):
            begin_payout(connection, creator=creator, amount_microcredits=amount, key="june", now_ms=NOW_MS)
    begin_payout(connection, creator="cam", amount_microcredits=70, key="june", now_ms=NOW_MS)
    with pytest.raises(KeyReused):
        begin_payout(connection, creator="cam", amount_microcredits=5, key="june", now_ms=NOW_MS)


def test_a_creator_owes_what_is_refunded_after_the_payout(connection: Connection) -> None:
    give(connection, 200, "paid")
    charged(connection, 100, Share("cam", "lora", 75))
    begin_payout(connection, creator="cam", amount_microcredits=75, key="june", now_ms=NOW_MS)
    settle_payout(connection, key="june", now_ms=NOW_MS)
    give_back(connection, "r")
    assert earnings(connection, "cam").accrued == -75
    charged(connection, 100, Share("cam", "lora", 80), run_id="later")
    assert earnings(connection, "cam").accrued == 5
    release(connection, "later", NOW_MS)
    assert verify(connection) == []
