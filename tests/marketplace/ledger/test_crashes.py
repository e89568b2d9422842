"""Crashes: between every two statements of every operation nothing half-done stays; a killed process loses nothing that it acknowledged."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, select

from marquetry.marketplace import ledger
from marquetry.marketplace.ledger import Capture, Share
from marquetry.marketplace.schema import metadata
from marquetry.server.database.connect import make_engine
from tests.marketplace.ledger.machine import Crash, crashing

ROOT = Path(__file__).parents[3]
KILLS = 3
ACKNOWLEDGED = 150  # before each kill
SHARES = (Share("cam", "lora", 70), Share("dee", "graph", 7))

LIFE: list[tuple[str, Callable[[Connection], Any]]] = [
    ("credit", lambda c: ledger.credit(c, owner="ann", amount_microcredits=900, purse="paid", kind="purchase", key="p", now_ms=1)),
    ("grant", lambda c: ledger.credit(c, owner="ann", amount_microcredits=100, purse="granted", kind="bonus", key="g", now_ms=1, expires_ms=9)),
    ("debit", lambda c: ledger.debit(c, owner="ann", amount_microcredits=50, purse="granted", kind="dispute", key="d", now_ms=2)),
    ("hold", lambda c: ledger.place_hold(c, owner="ann", run_id="run", amount_microcredits=300, now_ms=3)),
    ("hold, to expire", lambda c: ledger.place_hold(c, owner="ann", run_id="dies", amount_microcredits=30, now_ms=3, ttl_ms=5)),
    ("grant, to expire", lambda c: ledger.credit(c, owner="ann", amount_microcredits=20, purse="granted", kind="bonus", key="h", now_ms=3, expires_ms=9)),
    ("renew", lambda c: ledger.renew_holds(c, ["run"], 4)),
    ("captures", lambda c: ledger.capture(c, [Capture("run", str(place), "node", 90, SHARES) for place in range(2)], 5)),
    ("captures, each", lambda c: ledger.capture_each(c, [Capture("run", "2", "node", 9), Capture("dies", "1", "node", 90)], 5)),
    ("refund", lambda c: ledger.refund(c, run_id="run", node_id="1", kind="node", amount_microcredits=45, key="r", reason="bad", now_ms=6)),
    ("release", lambda c: ledger.release(c, "run", 7)),
    ("expire holds", lambda c: ledger.expire_holds(c, 9, 10)),
    ("expire grants", lambda c: ledger.expire_grants(c, 9, 10)),
    ("reopen", lambda c: ledger.reopen_hold(c, run_id="dies", amount_microcredits=11, now_ms=10)),
    ("begin payout", lambda c: ledger.begin_payout(c, creator="cam", amount_microcredits=60, key="june", now_ms=11)),
    ("settle payout", lambda c: ledger.settle_payout(c, key="june", now_ms=12)),
    ("begin another", lambda c: ledger.begin_payout(c, creator="cam", amount_microcredits=10, key="july", now_ms=13)),
    ("cancel it", lambda c: ledger.cancel_payout(c, key="july", now_ms=14)),
]  # fmt: skip


def everything(connection: Connection) -> dict[str, list[Any]]:
    """All rows of all tables of the ledger."""
    names = sorted(name for name in metadata.tables if name.startswith("ledger_"))
    return {name: sorted(map(repr, connection.execute(select(metadata.tables[name])))) for name in names}


def test_a_crash_between_any_two_statements_leaves_nothing_behind(engine: Engine) -> None:
    for name, act in LIFE:
        with engine.connect() as connection:
            before = everything(connection)
        at, crashed = 0, True
        while crashed:
            at += 1
            crashed = _crashes(engine, act, at)
            with engine.connect() as connection:
                assert everything(connection) == before, f"{name}, before statement {at}"
        assert at > 2, f"{name} has hardly a statement"
        with engine.begin() as connection:
            done = act(connection)
            assert ledger.verify(connection) == []
            after = everything(connection)
            assert after != before, f"{name} does nothing"
        if name not in ("captures", "captures, each"):  # which say that it is a replay
            with engine.begin() as connection:
                assert act(connection) == done or name in ("release", "expire holds", "expire grants")
        with engine.begin() as connection:
            act(connection)
            assert everything(connection) == after, f"{name} is not the same when it is done again"


def _crashes(engine: Engine, act: Callable[[Connection], Any], at: int) -> bool:
    """Whether it was cut short before its n-th statement; if not, it is cut short before its commit."""
    finished = False
    try:
        with engine.begin() as connection, crashing(connection, at):
            act(connection)
            finished = True
            raise Crash
    except Crash:
        return not finished


def test_what_a_killed_process_acknowledged_is_there_once_and_nothing_is_half_done(url: str) -> None:
    engine = make_engine(url, write=True)
    with engine.begin() as connection:
        ledger.credit(connection, owner="hot", amount_microcredits=10**12, purse="paid", kind="purchase", key="p", now_ms=1)
    engine.dispose()
    acknowledged: set[str] = set()
    for kill in range(KILLS):
        acknowledged |= _run_and_kill(url, kill, ACKNOWLEDGED)
        engine = make_engine(url, write=True)
        with engine.begin() as connection:
            assert ledger.verify(connection) == []
            found = {charge.node_id: charge for charge in ledger.charges(connection, f"run {kill}")}
            mine = {node for node in acknowledged if node.startswith(f"{kill}-")}
            assert len(mine) >= ACKNOWLEDGED and mine <= found.keys()
            again = [Capture(f"run {kill}", node, "node", 1000, (Share("cam", "lora", 750),)) for node in sorted(mine)]
            assert all(done.replayed for done in ledger.capture(connection, again, 99))
            ledger.release(connection, f"run {kill}", 99)
            total = sum(charge.amount_microcredits for charge in found.values())
            assert ledger.earnings(connection, "cam").accrued >= total * 3 // 4
        engine.dispose()


def _run_and_kill(url: str, run: int, enough: int) -> set[str]:
    """What a process that captures for many callers acknowledged before it was killed."""
    command = [sys.executable, "-m", "tests.marketplace.ledger.capturing", url, str(run)]
    acknowledged: set[str] = set()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            acknowledged.add(line.strip())
            if len(acknowledged) == enough:
                process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    return acknowledged
