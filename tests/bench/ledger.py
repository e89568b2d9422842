"""What a durable capture costs on one hot account: many callers through the one writer, beside one transaction for each charge.

python tests/bench/ledger.py [--url postgresql://...] [--captures 20000] [--callers 2000] [--single 300]

Beside it: the same capture alone in its transaction, and the least SQL that could be called a charge (lock the balance, one journal row, three
lines, three balances). All on one connection, since a hot account lets only one through at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[2]))

import uvloop
from sqlalchemy import Engine, text

from marquetry.marketplace.ledger import Capture, Share, capture, charges, credit, place_hold, verify
from marquetry.server.database.connect import make_engine
from marquetry.server.database.database import Database
from marquetry.server.ledger.writer import CaptureWriter
from tests.server.jobs import postgresql

if TYPE_CHECKING:
    from sqlalchemy import Connection

SHARES = (Share("creator", "creator/lora", 750, "*:7500:royalty"),)
PLAIN = (
    "CREATE TABLE plain_balances (id INTEGER PRIMARY KEY, balance BIGINT NOT NULL)",
    "CREATE TABLE plain_journal (id BIGINT PRIMARY KEY, key VARCHAR(64) NOT NULL UNIQUE, description TEXT NOT NULL)",
    "CREATE TABLE plain_lines (entry_id BIGINT, account_id INTEGER, amount BIGINT, PRIMARY KEY (entry_id, account_id))",
    "INSERT INTO plain_balances VALUES (1, 1000000000000), (2, 0), (3, 0)",
)


def _capture(node: str) -> Capture:
    return Capture("hot run", node, "node", 1000, SHARES, "image.standard", "KSampler")


def prepare(engine: Engine) -> None:
    with engine.begin() as connection:
        credit(connection, owner="hot", amount_microcredits=10**14, purse="paid", kind="purchase", key="fund", now_ms=1)
        place_hold(connection, owner="hot", run_id="hot run", amount_microcredits=10**13, now_ms=1)
        for statement in PLAIN:
            connection.execute(text(statement))


def alone(engine: Engine, count: int, first: int) -> float:
    """Captures a second, each in a transaction of its own."""
    started = time.perf_counter()
    for place in range(count):
        with engine.begin() as connection:
            capture(connection, [_capture(f"alone {first + place}")], 2)
    return count / (time.perf_counter() - started)


def plain(engine: Engine, count: int, first: int) -> float:
    """Charges a second of the least SQL, each in a transaction of its own."""
    lock = " FOR UPDATE" if engine.dialect.name == "postgresql" else ""
    started = time.perf_counter()
    for place in range(first, first + count):
        with engine.begin() as connection:
            connection.exec_driver_sql(f"SELECT balance FROM plain_balances WHERE id = 1{lock}").one()
            _insert_plain(connection, place)
            connection.exec_driver_sql(
                "UPDATE plain_balances SET balance = balance + CASE id WHEN 1 THEN -1000 WHEN 2 THEN 750 ELSE 250 END WHERE id IN (1, 2, 3)"
            )
    return count / (time.perf_counter() - started)


def _insert_plain(connection: Connection, place: int) -> None:
    connection.exec_driver_sql(f"INSERT INTO plain_journal VALUES ({place}, 'charge {place}', 'KSampler')")
    connection.exec_driver_sql(f"INSERT INTO plain_lines VALUES ({place}, 1, -1000), ({place}, 2, 750), ({place}, 3, 250)")


async def grouped(url: str, captures: int, callers: int, attempt: int) -> tuple[float, list[float]]:
    """Acknowledged captures a second of callers who each wait for theirs, and how long they waited, in milliseconds."""
    database = await Database.open(url)
    writer, counter, waits = CaptureWriter(database), itertools.count(), list[float]()

    async def call() -> None:
        while (place := next(counter)) < captures:
            asked = time.perf_counter()
            await writer.capture(_capture(f"grouped {attempt}-{place}"))
            waits.append((time.perf_counter() - asked) * 1000)

    started = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(callers)))
    rate = captures / (time.perf_counter() - started)
    await database.close()
    return rate, sorted(waits)


def measure(url: str, captures: int, callers: int, single: int, rounds: int = 3) -> None:
    uvloop.run(_opened(url))
    engine = make_engine(url, write=True)
    prepare(engine)
    rates: dict[str, list[float]] = {"alone": [], "plain": [], "grouped": []}
    waits: list[float] = []
    for attempt in range(rounds):  # in turns, so that what else the machine does weighs on all alike
        rates["alone"].append(alone(engine, single, attempt * single))
        rates["plain"].append(plain(engine, single, attempt * single))
        rate, waited = uvloop.run(grouped(url, captures, callers, attempt))
        rates["grouped"].append(rate)
        waits += waited
    with engine.begin() as connection:
        faults = verify(connection)
        count = len(charges(connection, "hot run"))
        durable = connection.exec_driver_sql(
            "SHOW synchronous_commit" if engine.dialect.name == "postgresql" else "PRAGMA synchronous"
        ).scalar()
    assert not faults and count == rounds * (captures + single), (faults, count)
    engine.dispose()
    middle = {name: statistics.median(found) for name, found in rates.items()}
    waits.sort()
    print(f"{engine.dialect.name}, synchronous_commit {durable} for all; {callers} callers; {count} captures verified")
    print(f"  one capture per transaction    {middle['alone']:8.0f}/s")
    print(f"  least SQL per transaction      {middle['plain']:8.0f}/s")
    print(
        f"  group commit, acknowledged     {middle['grouped']:8.0f}/s   p50 {waits[len(waits) // 2]:.1f} ms  p99 {waits[len(waits) * 99 // 100]:.1f} ms"
    )
    ratios = [middle["grouped"] / middle[name] for name in ("alone", "plain")]
    print(
        f"  ratio                          {ratios[0]:8.1f} of one capture per transaction, {ratios[1]:.1f} of the least SQL (goal: 50)",
        flush=True,
    )


async def _opened(url: str) -> None:
    await (await Database.open(url)).close()


def _urls(given: str | None) -> Iterator[str]:
    if given is not None:
        yield given
        return
    for server in postgresql.serve():
        yield from postgresql.scratch_database(server)
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/ledger.db"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default=None)
    parser.add_argument("--captures", type=int, default=20_000)
    parser.add_argument("--callers", type=int, default=2_000)
    parser.add_argument("--single", type=int, default=300)
    given = parser.parse_args(arguments)
    for url in _urls(given.url):
        measure(url, given.captures, given.callers, given.single)


if __name__ == "__main__":
    main()
