"""Verification finds whatever somebody with access to the database changes; and the database refuses to change the journal at all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.exc import DBAPIError

from marquetry.marketplace.ledger import (
    Capture,
    Share,
    begin_payout,
    capture,
    credit,
    heads,
    place_hold,
    refund,
    release,
    settle_payout,
    verify,
)
from marquetry.marketplace.ledger.tables import accounts, chains, journal, lines

TAMPERINGS = {
    "a line is made larger": ("UPDATE ledger_lines SET amount = amount + 1 WHERE place = 0", "sum to"),
    "money moves between lines": ("UPDATE ledger_lines SET amount = -amount", "is not what was written"),
    "a description is changed": ("UPDATE ledger_journal SET description = 'other'", "is not what was written"),
    "a time is changed": ("UPDATE ledger_journal SET created_ms = created_ms + 1", "is not what was written"),
    "somebody else earned it": ("UPDATE ledger_accounts SET owner = 'eve' WHERE owner = 'cam'", "is not what was written"),
    "an entry is removed": ("DELETE FROM ledger_journal WHERE kind = 'usage'", "is missing"),
    "lines are removed": ("DELETE FROM ledger_lines WHERE entry_id = (SELECT max(id) FROM ledger_journal)", "is not what was written"),
    "the last entries are removed": (
        "DELETE FROM ledger_lines WHERE entry_id = (SELECT max(id) FROM ledger_journal);"
        "DELETE FROM ledger_journal WHERE id = (SELECT max(id) FROM ledger_journal)",
        "its head says",
    ),
    "lines of no entry are added": ("INSERT INTO ledger_lines VALUES (999999, 0, 16, 5, NULL, '', '')", "which is not in the journal"),
    "a line of no account is added": ("UPDATE ledger_lines SET account_id = 999999 WHERE place = 0", "not in its shard"),
    "a balance is made larger": ("UPDATE ledger_accounts SET balance = balance + 1 WHERE kind = 'paid'", "its lines sum to"),
    "accounts no longer sum to zero": ("UPDATE ledger_accounts SET balance = balance + 1 WHERE kind = 'revenue'", "all accounts together have"),
    "a hold's captures are forgotten": ("UPDATE ledger_holds SET captured = 0 WHERE run_id = 'open'", "the hold of run 'open' says"),
    "a hold disappears": ("DELETE FROM ledger_holds WHERE run_id = 'open'", "a hold of run 'open' that is not there"),
    "what is left of a hold is changed": ("UPDATE ledger_holds SET sources = '[[null,1]]' WHERE run_id = 'open'", "has sources of 1"),
    "a hold is closed by hand": ("UPDATE ledger_holds SET state = 'released' WHERE run_id = 'open'", "still holds"),
    "a grant grows": ("UPDATE ledger_grants SET remaining = remaining + 5", "left, the journal says"),
    "a grant disappears": ("DELETE FROM ledger_grants", "the journal knows a grant"),
    "a payout is settled by hand": ("UPDATE ledger_payouts SET state = 'settled' WHERE state = 'begun'", "under way"),
    "a payout grows": ("UPDATE ledger_payouts SET amount = amount + 1", "the parts of payout"),
    "a settled payout disappears": ("DELETE FROM ledger_payouts WHERE state = 'settled'", "left by the bank"),
    "a refund is doubled": ("UPDATE ledger_lines SET amount = amount * 20 WHERE entry_id IN (SELECT id FROM ledger_journal WHERE kind = 'refund')", "were refunded of entry"),
    "a creator keeps a refund": ("UPDATE ledger_lines SET listing = 'other' WHERE amount < 0 AND listing <> ''", "gave back"),
    "an earning is a purchase": ("UPDATE ledger_journal SET kind = 'purchase' WHERE kind = 'usage'", "other kinds than captures"),
    "a grant counts as paid": ("UPDATE ledger_lines SET grant_id = 18 WHERE grant_id IS NULL AND place = 1", "as if they had been paid for"),
    "the start is cut off": ("DELETE FROM ledger_journal WHERE id < 40", "is missing"),
}  # fmt: skip


@pytest.fixture
def written(connection: Connection) -> Iterator[Connection]:
    """A ledger in which something of everything has happened."""
    credit(connection, owner="ann", amount_microcredits=1000, purse="paid", kind="purchase", key="p", now_ms=1)
    credit(connection, owner="ann", amount_microcredits=100, purse="granted", kind="bonus", key="g", now_ms=1)
    for run_id in ("open", "closed"):
        place_hold(connection, owner="ann", run_id=run_id, amount_microcredits=300, now_ms=1)
        capture(connection, [Capture(run_id, "1", "node", 120, (Share("cam", "lora", 90),)), Capture(run_id, "2", "node", 10)], 2)
    release(connection, "closed", 3)
    refund(connection, run_id="open", node_id="1", kind="node", amount_microcredits=40, key="r", reason="bad", now_ms=4)
    for key in ("settled", "begun"):
        begin_payout(connection, creator="cam", amount_microcredits=50, key=key, now_ms=5)
    settle_payout(connection, key="settled", now_ms=6)
    assert verify(connection) == []
    yield connection


def unguarded(connection: Connection, statements: str) -> None:
    """What somebody does who may switch triggers and checks off."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        for table in ("ledger_accounts", "ledger_holds"):
            connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT ck_{table}_{'balance' if 'accounts' in table else 'amount'}"))
    else:
        for name in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all():
            connection.execute(text(f"DROP TRIGGER {name}"))
        connection.execute(text("PRAGMA ignore_check_constraints = ON"))
    for statement in statements.split(";"):
        connection.execute(text(statement))


@pytest.mark.parametrize("what", sorted(TAMPERINGS))
def test_whatever_is_changed_by_hand_is_found(written: Connection, what: str) -> None:
    statements, says = TAMPERINGS[what]
    unguarded(written, statements)
    found = verify(written)
    if written.dialect.name == "sqlite":
        written.execute(text("PRAGMA ignore_check_constraints = OFF"))
    assert any(says in fault for fault in found), found


CHANGES = {
    "sqlite": ["UPDATE {} SET {} = {}", "DELETE FROM {}", "INSERT OR REPLACE INTO {0} SELECT * FROM {0}"],
    "postgresql": ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {}"],
}


@pytest.mark.parametrize("table", ["ledger_journal", "ledger_lines"])
@pytest.mark.parametrize(
    ("shared", "change"), [(name, change) for name, changes in CHANGES.items() for change in changes], indirect=["shared"]
)
def test_the_database_refuses_to_change_what_was_written(written: Connection, table: str, change: str) -> None:
    column = "kind" if table == "ledger_journal" else "amount"
    savepoint = written.begin_nested()
    with pytest.raises(DBAPIError, match="append-only"):
        written.execute(text(change.format(table, column, column)))
    savepoint.rollback()
    assert verify(written) == []


@pytest.mark.parametrize("kind", ["paid", "granted", "held", "payable"])
def test_the_database_refuses_people_below_zero(written: Connection, kind: str) -> None:
    savepoint = written.begin_nested()
    with pytest.raises(DBAPIError):
        written.execute(text(f"UPDATE ledger_accounts SET balance = -1 WHERE kind = '{kind}'"))
    savepoint.rollback()


def test_what_was_kept_elsewhere_shows_a_journal_that_was_written_anew(written: Connection) -> None:
    kept = heads(written)
    unguarded(written, "DELETE FROM ledger_lines; DELETE FROM ledger_journal; DELETE FROM ledger_accounts; DELETE FROM ledger_holds;"
                       "DELETE FROM ledger_grants; DELETE FROM ledger_payouts;"
                       f"UPDATE ledger_chains SET place = 0, accounts = 0, hash = '{'0' * 64}'")  # fmt: skip
    assert verify(written) == []
    assert heads(written) != kept


def test_places_have_no_gaps_and_time_never_runs_backwards(written: Connection) -> None:
    credit(written, owner="ann", amount_microcredits=1, purse="paid", kind="purchase", key="late", now_ms=0)
    rows = written.execute(select(journal.c.id, journal.c.created_ms).order_by(journal.c.id)).all()
    assert [row.id - rows[0].id for row in rows] == [16 * place for place in range(len(rows))]
    assert [row.created_ms for row in rows] == sorted(row.created_ms for row in rows)


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)  # SQLite's writers lock the file; readers have a snapshot of their own
def test_verification_beside_writers_sees_one_state(engine: Engine) -> None:
    with engine.begin() as connection:
        credit(connection, owner="ann", amount_microcredits=1000, purse="paid", kind="purchase", key="p", now_ms=1)
    with engine.connect() as reading:
        assert verify(reading) == []
        before = reading.execute(select(func.sum(lines.c.amount * lines.c.amount))).scalar()
        with engine.begin() as connection:
            credit(connection, owner="ann", amount_microcredits=5, purse="paid", kind="purchase", key="q", now_ms=1)
        assert reading.execute(select(func.sum(lines.c.amount * lines.c.amount))).scalar() == before
        assert verify(reading) == []
    with engine.connect() as connection:
        assert connection.execute(select(func.sum(accounts.c.balance))).scalar() == 0
        assert connection.execute(select(func.max(chains.c.place))).scalar() == 2
