"""Many at once: fifty threads on one account, several owners in every order, the same key from all sides."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from marquetry.marketplace import ledger
from marquetry.marketplace.errors import MarketError
from marquetry.marketplace.ledger import Balance, Capture, Share
from marquetry.marketplace.ledger.accounts import shard_of
from tests.marketplace.ledger.test_mutants import make_mutant

THREADS = 50


def together(count: int, act: Callable[[int], Any]) -> Counter[str]:
    """Run it in threads that begin at the same moment; how often each outcome came."""
    outcomes: Counter[str] = Counter()
    barrier, lock = threading.Barrier(count), threading.Lock()

    def run(place: int) -> None:
        barrier.wait()
        try:
            act(place)
            outcome = "done"
        except MarketError as error:
            outcome = error.code
        except Exception as error:
            outcome = repr(error)
        with lock:
            outcomes[outcome] += 1

    threads = [threading.Thread(target=run, args=(place,)) for place in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def fund(engine: Engine, owner: str, paid: int, granted: int = 0) -> None:
    with engine.begin() as connection:
        ledger.credit(connection, owner=owner, amount_microcredits=paid, purse="paid", kind="purchase", key=f"{owner} p", now_ms=1)
        if granted:
            ledger.credit(connection, owner=owner, amount_microcredits=granted, purse="granted", kind="bonus", key=f"{owner} g", now_ms=1)


def spend(engine: Engine, under_test: ModuleType, place: int) -> None:
    """One run: a hold and two captures of which each comes twice."""
    run_id = f"run {place}"
    with engine.begin() as connection:
        under_test.place_hold(connection, owner="ann", run_id=run_id, amount_microcredits=100, now_ms=place)
    for _ in range(2):
        with engine.begin() as connection:
            under_test.capture(connection, [Capture(run_id, "1", "node", 80, (Share("cam", "lora", 60),))], place)


def test_fifty_threads_on_one_account_spend_what_is_there_and_no_more(engine: Engine) -> None:
    fund(engine, "ann", paid=1000, granted=500)

    outcomes = together(THREADS, lambda place: spend(engine, ledger, place))
    assert outcomes == {"done": 15, "insufficient_credits": 35}
    with engine.begin() as connection:
        assert ledger.balance(connection, "ann") == Balance(0, 0, 300)
        assert ledger.earnings(connection, "cam").accrued == 15 * 60
        assert ledger.verify(connection) == []


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)  # SQLite has one writer: there is no lock to leave out
def test_a_ledger_without_its_lock_is_found(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = make_mutant("book.py", ".with_for_update()", "", tmp_path, monkeypatch)
    fund(engine, "ann", paid=1000, granted=500)
    outcomes = together(THREADS, lambda place: spend(engine, broken, place))
    with engine.begin() as connection:
        assert outcomes != {"done": 15, "insufficient_credits": 35} or ledger.verify(connection) != []


def test_fifty_threads_that_capture_the_same_node_charge_it_once(engine: Engine) -> None:
    fund(engine, "ann", paid=1000)
    with engine.begin() as connection:
        ledger.place_hold(connection, owner="ann", run_id="run", amount_microcredits=1000, now_ms=1)
    replayed: list[bool] = []

    def charge(place: int) -> None:
        with engine.begin() as connection:
            replayed.append(ledger.capture(connection, [Capture("run", "1", "node", 80)], place)[0].replayed)

    assert together(THREADS, charge) == {"done": THREADS}
    assert Counter(replayed) == {True: THREADS - 1, False: 1}
    with engine.begin() as connection:
        assert ledger.balance(connection, "ann").held == 920


def test_releases_and_captures_that_meet_lose_nothing(engine: Engine) -> None:
    fund(engine, "ann", paid=1000)
    with engine.begin() as connection:
        ledger.place_hold(connection, owner="ann", run_id="run", amount_microcredits=1000, now_ms=1)

    def meet(place: int) -> None:
        with engine.begin() as connection:
            match place % 3:
                case 0:
                    ledger.release(connection, "run", 5)
                case 1:
                    ledger.capture(connection, [Capture("run", str(place), "node", 10)], 5)
                case _:
                    ledger.renew_holds(connection, ["run"], 5)

    outcomes = together(18, meet)
    assert outcomes.keys() <= {"done", "hold_closed"}
    with engine.begin() as connection:
        charged = 10 * len(ledger.charges(connection, "run"))
        assert ledger.balance(connection, "ann") == Balance(1000 - charged, 0, 0)
        assert ledger.verify(connection) == []


def test_owners_in_every_order_wait_for_each_other_and_never_in_a_circle(engine: Engine) -> None:
    owners = ["ann", "bob", "eve", "joe", "kim"]
    assert len({shard_of(owner) for owner in owners}) > 3
    for owner in owners:
        fund(engine, owner, paid=10_000)
        with engine.begin() as connection:
            ledger.place_hold(connection, owner=owner, run_id=owner, amount_microcredits=5000, now_ms=1)
            ledger.capture(connection, [Capture(owner, "first", "node", 100, (Share("cam", "lora", 75),))], 1)

    def mix(place: int) -> None:
        chance = random.Random(place)
        for turn in range(4):
            order = chance.sample(owners, len(owners))
            with engine.begin() as connection:
                match (place + turn) % 4:
                    case 0 | 1:
                        share = (Share("cam", "lora", 3), Share("dee", "graph", 4))
                        ledger.capture(connection, [Capture(owner, f"{place} {turn}", "node", 10, share) for owner in order], 2)
                    case 2:
                        ledger.renew_holds(connection, order, 3)
                    case _:
                        ledger.begin_payout(connection, creator="cam", amount_microcredits=5, key=f"{place} {turn}", now_ms=4)
                        ledger.expire_holds(connection, 4, 10)

    assert together(12, mix) == {"done": 12}
    with engine.begin() as connection:
        assert ledger.verify(connection) == []


def test_a_key_that_comes_from_several_owners_at_once_counts_for_one(engine: Engine) -> None:
    owners = [f"owner {place}" for place in range(8)]

    def give(place: int) -> None:
        try:
            with engine.begin() as connection:
                ledger.credit(
                    connection, owner=owners[place], amount_microcredits=5, purse="paid", kind="bonus", key="same", now_ms=1
                )  # fmt: skip
        except IntegrityError:  # they met in different shards; alone, it is told what is wrong
            give(place)

    assert together(len(owners), give) == {"done": 1, "idempotency_conflict": len(owners) - 1}
    with engine.begin() as connection:
        assert sum(ledger.balance(connection, owner).paid for owner in owners) == 5
        assert ledger.verify(connection) == []
