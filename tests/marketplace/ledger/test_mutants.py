"""For every promise of the ledger a broken variant: a small change to its source, which the random operations must find."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Engine

import marquetry.marketplace.ledger
from marquetry.server.database.connect import make_engine
from tests.marketplace.ledger.machine import LedgerMachine

SOURCE = Path(marquetry.marketplace.ledger.__path__[0])
SHARED = ("tables", "errors", "accounts", "values", "indexes")  # not copied: the same tables and errors as everywhere

MUTANTS: dict[str, tuple[str, str, str]] = {
    "a balance differs from its lines": ("book.py", '"change": account.change}', '"change": account.change + 1}'),
    "an entry's lines are not written": ("book.py", "insert_rows(self._connection, lines, self._lines)", "pass"),
    "money is made of nothing": ("captures.py", "amount - earned)", "amount - earned + 1)"),
    "the chain skips what came before": ("book.py", "        before,\n", '        "",\n'),
    "the chain's head stays behind": ("book.py", 'to_hash": chain.hash', 'to_hash": "0" * 64'),
    "a hold is placed beyond the balance": ("holds.py", "if there < amount:", "if False:"),
    "more is taken back than there is": ("credits.py", "taken = min(amount, there)", "taken = amount"),
    "a debit beyond the balance is not refused": ("credits.py", "if there < amount and not partly:", "if False:"),
    "captures exceed the hold": ("captures.py", "if entry.amount_microcredits > hold.remaining:", "if False:"),
    "a closed hold is captured": ("captures.py", 'if hold.row.state != "open":', "if False:"),
    "a node is charged twice": ("captures.py", "digest(\"capture\", run_id, node_id, kind)", "digest(\"capture\", run_id, node_id, kind, object().__repr__())"),
    "a node twice in one batch is charged twice": ("captures.py", "known[key] = (id, request_hash)", "pass"),
    "another charge for a node passes as a replay": ("captures.py", "if before != request_hash:", "if False:"),
    "a refused batch is made in part": ("captures.py", "if whole and any(", "if False and any("),
    "a key with another content passes as a replay": ("book.py", "if found.request_hash != request_hash:", "if False:"),
    "creators earn too little": ("captures.py", "share.creator, share.amount_microcredits, None", "share.creator, share.amount_microcredits - 1, None"),
    "what was paid for is drawn before grants": ("holds.py", "[*open_grants(connection, owner, book.now_ms), *([(None, paid)] if paid else [])]", "[*([(None, paid)] if paid else []), *open_grants(connection, owner, book.now_ms)]"),
    "expired grants are drawn": ("credits.py", "row.expires_ms > now_ms]", "True]"),
    "grants that end later are drawn first": ("credits.py", "row.expires_ms or 0, row.id)", "-(row.expires_ms or 0), row.id)"),
    "drawn grants stay as they were": ("holds.py", "change_grants(connection, [(grant, -part) for grant, part in sources])", "pass"),
    "returned grants stay as they were": ("holds.py", "    change_grants(connection, returned)\n", ""),
    "what is released goes to the paid purse": ("holds.py", "Line(_purse(grant), row.owner, part, grant)", "Line(Kind.PAID, row.owner, part, grant)"),
    "a hold that ended holds on": ("holds.py", 'sources="[]")', "sources=holds.c.sources)"),
    "renewing does nothing": ("holds.py", ".values(expires_ms=now_ms + ttl_ms)", ".values(expires_ms=holds.c.expires_ms)"),
    "holds that live expire": ("holds.py", 'due = (holds.c.state == "open", holds.c.expires_ms <= now_ms)', 'due, before_ms, now_ms = (holds.c.state == "open",), None, now_ms * 9'),
    "a refund goes to the paid purse": ("refunds.py", "Kind.PAID if grant is None else Kind.GRANTED", "Kind.PAID"),
    "a refund exceeds the capture": ("refunds.py", "if not 0 < amount <= captured.amount - already:", "if False:"),
    "refunds forget those before them": ("refunds.py", "already = _refunded(connection, made.id)", "already = 0"),
    "creators keep what was refunded": ("refunds.py", "                moved.append", "                continue\n                moved.append"),
    "creators give back each time by the whole share": ("refunds.py", " - row.amount * already // self.amount", ""),
    "a payout exceeds the earnings": ("payouts.py", "if sum(accrued.values()) < amount:", "if False:"),
    "a payout leaves twice": ("payouts.py", "    if row.state == state:", "    if False:"),
    "a payout that was settled is cancelled": ("payouts.py", 'if row.state != "begun":', "if False:"),
    "a payout is begun twice": ("payouts.py", "if found is not None:", "if False:"),
    "a hold is placed twice": ("holds.py", "    if found is not None:", "    if False:"),
    "a credit happens twice": ("credits.py", 'posted, request_hash = digest("credit", key)', 'posted, request_hash = digest("credit", key, book.next_id(shard))'),
    "a refund happens twice": ("refunds.py", 'digest("refund", key)', 'digest("refund", key, _refunded(connection, made.id))'),
    "a cancelled payout stays away": ("payouts.py", '"payout_cancelled", Kind.ACCRUED', '"payout_cancelled", Kind.BANK'),
    "half of the work is committed": ("book.py", "insert_rows(self._connection, lines, self._lines)", "insert_rows(self._connection, lines, self._lines); self._connection.commit(); self._connection.begin()"),
}  # fmt: skip


@pytest.fixture(scope="module")
def engine(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    path = tmp_path_factory.mktemp("mutants") / "ledger.db"
    shutil.copy(sqlite_template, path)
    made = make_engine(f"sqlite:///{path}", write=True)
    yield made
    made.dispose()


@pytest.fixture
def mutant(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A copy of the ledger with one change, under a name of its own."""
    return make_mutant(*MUTANTS[request.param], tmp_path, monkeypatch)


def make_mutant(file: str, old: str, new: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    name = "broken_ledger"
    package = folder / name
    package.mkdir()
    for path in SOURCE.glob("*.py"):
        if path.stem in SHARED:
            continue
        source = path.read_text()
        if path.name == file:
            assert source.count(old) >= 1, f"{file} has no '{old}' any more: change the mutant with it"
            source = source.replace(old, new)
        own = rf"marquetry\.marketplace\.ledger\.(?!(?:{'|'.join(SHARED)})\b)"
        (package / path.name).write_text(re.sub(own, f"{name}.", source))
    monkeypatch.syspath_prepend(folder)
    for loaded in [module for module in sys.modules if module.split(".")[0] == name]:
        monkeypatch.delitem(sys.modules, loaded)
    return import_module(name)


def run(engine: Engine, ledger: ModuleType, examples: int = 60) -> None:
    run_state_machine_as_test(
        type("Machine", (LedgerMachine,), {"engine": engine, "ledger": ledger}),
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            database=None,
            derandomize=True,
            phases=(Phase.generate,),
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("mutant", sorted(MUTANTS), indirect=True)
def test_a_broken_ledger_is_found(engine: Engine, mutant: ModuleType) -> None:
    try:
        run(engine, mutant)
    except Exception:
        return
    pytest.fail("nobody noticed")


def test_a_copy_without_a_change_is_not_taken_for_a_broken_one(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = make_mutant("book.py", "class Book:", "class Book:", tmp_path, monkeypatch)
    run(engine, ledger, examples=5)
