"""The ledger under random operations, crashes among them, compared with the model after each. `ledger` is the module under test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Connection, Engine, event, select, text

from marquetry.marketplace import ledger as sound
from marquetry.marketplace.errors import MarketError
from marquetry.marketplace.ledger import Capture, Share
from marquetry.marketplace.ledger.tables import grants
from tests.marketplace.ledger.model import Model, Refused

OWNERS = ("ann", "bob", "cam")
CREATORS = ("cam", "dee")
TTL_MS = 1000
TABLES = ("lines", "journal", "holds", "grants", "payouts", "accounts")
START = "UPDATE ledger_chains SET place = 0, accounts = 0, created_ms = 0, hash = :hash"

owners = st.sampled_from(OWNERS)
purses = st.sampled_from(["paid", "granted"])
amounts = st.integers(1, 300)
runs = st.integers(0, 3).map(lambda number: f"run {number}")
keys = st.integers(0, 60).map(str)
creators = st.sampled_from(CREATORS)
crashes = st.none() | st.integers(1, 14)


class Crash(Exception):
    """The process ends here."""


@st.composite
def captures(draw: st.DrawFn) -> Capture:
    amount = draw(st.integers(0, 120))
    cut = draw(st.integers(0, amount))
    shares = draw(
        st.sampled_from(
            [
                (),
                (Share("cam", "lora", cut),),
                (Share("cam", "lora", cut), Share("dee", "graph", (amount - cut) // 2, "graph:5000:royalty")),
            ]
        )
    )
    return Capture(draw(runs), draw(st.sampled_from("123")), "node", amount, shares)


class LedgerMachine(RuleBasedStateMachine):
    """Each rule is one transaction. The test sets `engine`, and `ledger` where a broken one is to be caught."""

    engine: Engine
    ledger: Any = sound

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.now_ms = 1000
        self.done: list[Callable[[], None]] = []

    @initialize()
    def start(self) -> None:
        """People with credits of every kind, runs under way, creators who have earned: where things can go wrong at once."""
        with self.engine.begin() as connection:
            empty(connection)
        self.credit("ann", 500, "paid", "first", None, None)
        self.credit("ann", 100, "granted", "second", 2 * TTL_MS, None)
        self.credit("ann", 100, "granted", "third", TTL_MS, None)
        self.credit("bob", 300, "paid", "fourth", None, None)
        self.place_hold("ann", "run 0", 160, None)
        self.place_hold("bob", "run 1", 200, None)
        self.capture([Capture("run 0", "1", "node", 150, (Share("cam", "lora", 71), Share("dee", "graph", 31)))], False, None)
        self.capture([Capture("run 1", "1", "node", 80, (Share("cam", "lora", 60),))], False, None)
        self.begin_payout("cam", 50, "a", None)
        self.refund_of(("run 0", "1", "node"), 7, "first", None)

    def both(self, act: Callable[[Connection], Any], expect: Callable[[], Any], crash: int | None) -> None:
        """Do it in the ledger, after crashing once in the middle, and in the model, and compare what they say."""
        if crash is not None:
            self._crash(act, crash)
        with self.engine.begin() as connection:
            try:
                actual = act(connection)
            except MarketError as error:
                actual = error.code  # the transaction is committed: what was refused must have written nothing
        try:
            expected = expect()
        except Refused as refused:
            expected = refused.code
        assert actual == expected

    def _crash(self, act: Callable[[Connection], Any], at: int) -> None:
        """Do it until just before the n-th statement, or the commit, and no further."""
        try:
            with self.engine.begin() as connection, crashing(connection, at):
                act(connection)
                raise Crash
        except (Crash, MarketError):
            pass

    @rule(owner=owners, amount=st.integers(1, 1000), purse=purses, key=keys, ttl=st.none() | st.integers(1, 3000), crash=crashes)
    def credit(self, owner: str, amount: int, purse: str, key: str, ttl: int | None, crash: int | None) -> None:
        expires_ms = None if ttl is None or purse == "paid" else self.now_ms + ttl

        self.done.append(lambda: self.credit(owner, amount, purse, key, ttl, None))

        def act(connection: Connection) -> None:
            self.ledger.credit(
                connection, owner=owner, amount_microcredits=amount, purse=purse, kind="bonus", key=key, now_ms=self.now_ms, expires_ms=expires_ms
            )  # fmt: skip

        self.both(act, lambda: self.model.credit(owner, amount, purse, key, expires_ms), crash)

    @rule(owner=owners, amount=amounts, purse=purses, key=keys, partly=st.booleans(), crash=crashes)
    def debit(self, owner: str, amount: int, purse: str, key: str, partly: bool, crash: int | None) -> None:
        self.done.append(lambda: self.debit(owner, amount, purse, key, partly, None))

        def act(connection: Connection) -> Any:
            return self.ledger.debit(
                connection, owner=owner, amount_microcredits=amount, purse=purse, kind="dispute", key=key, now_ms=self.now_ms, partly=partly
            )  # fmt: skip

        self.both(act, lambda: self.model.debit(owner, amount, purse, key, partly), crash)

    @rule(owner=owners, run=runs, amount=st.integers(0, 400), crash=crashes)
    def place_hold(self, owner: str, run: str, amount: int, crash: int | None) -> None:
        self.done.append(lambda: self.place_hold(owner, run, amount, None))

        def act(connection: Connection) -> None:
            self.ledger.place_hold(connection, owner=owner, run_id=run, amount_microcredits=amount, now_ms=self.now_ms, ttl_ms=TTL_MS)

        self.both(act, lambda: self.model.place_hold(owner, run, amount, self.now_ms, TTL_MS), crash)

    @rule(run=runs, amount=amounts, crash=crashes)
    def reopen_hold(self, run: str, amount: int, crash: int | None) -> None:
        def act(connection: Connection) -> None:
            self.ledger.reopen_hold(connection, run_id=run, amount_microcredits=amount, now_ms=self.now_ms, ttl_ms=TTL_MS)

        self.both(act, lambda: self.model.reopen_hold(run, amount, self.now_ms, TTL_MS), crash)

    def renew(self, wanted: list[str]) -> None:
        with self.engine.begin() as connection:
            self.ledger.renew_holds(connection, wanted, self.now_ms, TTL_MS)
        self.model.renew_holds(wanted, self.now_ms, TTL_MS)

    @rule(wanted=st.lists(captures(), min_size=1, max_size=4), twice=st.booleans(), crash=crashes)
    def capture(self, wanted: list[Capture], twice: bool, crash: int | None) -> None:
        if twice:
            wanted = [*wanted, wanted[0]]

        self.done.append(lambda: self.capture(wanted, False, None))

        def act(connection: Connection) -> Any:
            return [(done.remaining_microcredits, done.replayed) for done in self.ledger.capture(connection, wanted, self.now_ms)]

        self.both(act, lambda: self.model.capture(wanted), crash)

    @rule(wanted=st.lists(captures(), min_size=1, max_size=5), crash=crashes)
    def capture_each(self, wanted: list[Capture], crash: int | None) -> None:
        def act(connection: Connection) -> Any:
            results = self.ledger.capture_each(connection, wanted, self.now_ms)
            return [one.code if isinstance(one, MarketError) else (one.remaining_microcredits, one.replayed) for one in results]

        self.both(act, lambda: self.model.capture_each(wanted), crash)

    @precondition(lambda self: self.model.charged)
    @rule(data=st.data(), crash=crashes)
    def charge_otherwise(self, data: st.DataObject, crash: int | None) -> None:
        known = self.model.charged[data.draw(st.sampled_from(sorted(self.model.charged)))].capture
        self.capture([replace(known, amount_microcredits=known.amount_microcredits + 1)], False, crash)

    @precondition(lambda self: self.done)
    @rule(data=st.data())
    def do_again_what_was_done(self, data: st.DataObject) -> None:
        self.done[data.draw(st.integers(0, len(self.done) - 1))]()

    @rule(run=runs, crash=crashes)
    def release(self, run: str, crash: int | None) -> None:
        self.both(lambda connection: self.ledger.release(connection, run, self.now_ms), lambda: self.model.release(run), crash)

    @rule(pause_ms=st.integers(1, 2 * TTL_MS), renewed=st.lists(runs, max_size=2))
    def wait(self, pause_ms: int, renewed: list[str]) -> None:
        self.now_ms += pause_ms
        self.renew(renewed)

    @rule(owner=owners, amount=st.integers(1, 500))
    def hold_when_grants_have_expired(self, owner: str, amount: int) -> None:
        self.now_ms += 2 * TTL_MS
        self.place_hold(owner, f"later {len(self.model.holds)}", amount, None)

    @rule(crash=crashes)
    def expire_holds(self, crash: int | None) -> None:
        self.both(
            lambda connection: self.ledger.expire_holds(connection, self.now_ms, 100), lambda: self.model.expire_holds(self.now_ms), crash
        )

    @rule(crash=crashes)
    def expire_grants(self, crash: int | None) -> None:
        self.both(
            lambda connection: self.ledger.expire_grants(connection, self.now_ms, 100), lambda: self.model.expire_grants(self.now_ms), crash
        )

    @precondition(lambda self: self.model.charged)
    @rule(data=st.data(), amount=st.none() | st.integers(1, 80), key=keys, crash=crashes)
    def refund(self, data: st.DataObject, amount: int | None, key: str, crash: int | None) -> None:
        self.refund_of(data.draw(st.sampled_from(sorted(self.model.charged))), amount, key, crash)

    def refund_of(self, of: tuple[str, str, str], amount: int | None, key: str, crash: int | None) -> None:
        run_id, node_id, kind = of
        self.done.append(lambda: self.refund_of(of, amount, key, None))

        def act(connection: Connection) -> Any:
            return self.ledger.refund(
                connection, run_id=run_id, node_id=node_id, kind=kind, amount_microcredits=amount, key=key, reason="bad", now_ms=self.now_ms
            )  # fmt: skip

        self.both(act, lambda: self.model.refund(of, amount, key), crash)

    @rule(creator=creators, amount=st.integers(1, 60), key=st.sampled_from("abcd"), crash=crashes)
    def begin_payout(self, creator: str, amount: int, key: str, crash: int | None) -> None:
        self.done.append(lambda: self.begin_payout(creator, amount, key, None))

        def act(connection: Connection) -> Any:
            return self.ledger.begin_payout(connection, creator=creator, amount_microcredits=amount, key=key, now_ms=self.now_ms).state

        self.both(act, lambda: self.model.begin_payout(creator, amount, key), crash)

    @precondition(lambda self: self.model.payouts)
    @rule(data=st.data(), settle=st.booleans(), crash=crashes)
    def finish_payout(self, data: st.DataObject, settle: bool, crash: int | None) -> None:
        self.finish(data.draw(st.sampled_from(sorted(self.model.payouts))), settle, crash)

    def finish(self, key: str, settle: bool, crash: int | None) -> None:
        self.done.append(lambda: self.finish(key, settle, None))
        finish = self.ledger.settle_payout if settle else self.ledger.cancel_payout
        state = "settled" if settle else "cancelled"
        self.both(
            lambda connection: finish(connection, key=key, now_ms=self.now_ms).state, lambda: self.model.finish_payout(key, state), crash
        )

    @invariant()
    def everybody_has_what_they_should(self) -> None:
        with self.engine.connect() as connection:
            for owner in OWNERS:
                assert sound.balance(connection, owner) == self.model.balance(owner)
            rows = connection.execute(select(grants.c.owner, grants.c.remaining, grants.c.expires_ms).order_by(grants.c.id)).all()
            expected = [(grant.owner, grant.remaining, grant.expires_ms) for grant in self.model.grants]
            for owner in OWNERS:
                assert [row for row in rows if row.owner == owner] == [grant for grant in expected if grant[0] == owner]
            for creator in CREATORS:
                assert sound.earnings(connection, creator) == self.model.earnings(creator)
            for run, held in self.model.holds.items():
                found = sound.find_hold(connection, run)
                assert found is not None
                assert (found.state, found.captured_microcredits, found.remaining_microcredits) == (held.state, held.captured, held.left)
                assert found.expires_ms == held.expires_ms
            assert sum(sound.platform_totals(connection).values()) == 0

    def teardown(self) -> None:
        with self.engine.connect() as connection:
            assert sound.verify(connection) == []


def crashing(connection: Connection, at: int) -> Any:
    """While it lasts, the n-th statement is not executed: it raises Crash."""
    return _Crashing(connection, at)


class _Crashing:
    def __init__(self, connection: Connection, at: int) -> None:
        self.connection, self.at, self.count = connection, at, 0

    def _before(self, *_: Any) -> None:
        self.count += 1
        if self.count == self.at:
            raise Crash

    def __enter__(self) -> _Crashing:
        event.listen(self.connection, "before_cursor_execute", self._before)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self.connection, "before_cursor_execute", self._before)


def empty(connection: Connection) -> None:
    """Forget everything. The triggers that forbid it are taken away for that moment."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(f"TRUNCATE {', '.join(f'ledger_{name}' for name in TABLES)}"))
        connection.execute(text(START), {"hash": "0" * 64})
        return
    triggers = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")).all()
    for name, _ in triggers:
        connection.execute(text(f"DROP TRIGGER {name}"))
    for name in TABLES:
        connection.execute(text(f"DELETE FROM ledger_{name}"))
    for _, sql in triggers:
        connection.exec_driver_sql(sql)
    connection.execute(text(START), {"hash": "0" * 64})
