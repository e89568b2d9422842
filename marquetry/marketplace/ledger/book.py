"""Book: shards of the ledger, locked, and what one piece of work writes into them.

The order of locks is fixed: chains by shard, then holds by run. Whoever has a shard's chain is alone with all of its accounts and grants.
SQLite has one writer, so there everything is locked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from sqlalchemy import bindparam, select, update

from marquetry.marketplace.changed import note_changed
from marquetry.marketplace.ledger.accounts import NEVER_NEGATIVE, PLATFORM, Kind
from marquetry.marketplace.ledger.errors import KeyReused
from marquetry.marketplace.ledger.rows import among, insert_rows
from marquetry.marketplace.ledger.tables import SHARDS, accounts, chains, journal, lines

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Line(NamedTuple):
    """What one account gains or, below zero, gives."""

    kind: Kind
    owner: str
    amount: int
    grant: int | None = None
    listing: str = ""
    split: str = ""


class Posting(NamedTuple):
    """A journal entry to be made. Its lines sum to zero."""

    kind: str
    owner: str
    key: str
    request_hash: str
    lines: Sequence[Line]
    run_id: str = ""
    node_id: str = ""
    operation: str = ""
    reference: str = ""
    description: str = ""
    reverses: int | None = None


@dataclass(slots=True)
class _Chain:
    place: int
    hash: str
    created_ms: int
    accounts: int


@dataclass(slots=True)
class _Account:
    id: int
    balance: int
    guarded: bool  # it is never below zero
    made: bool = True
    change: int = 0


_lock = select(chains).where(chains.c.shard.in_(bindparam("shards", expanding=True))).order_by(chains.c.shard).with_for_update()
_advance = (
    update(chains)
    .where(chains.c.shard == bindparam("which"))
    .values(place=bindparam("to_place"), hash=bindparam("to_hash"), created_ms=bindparam("to_ms"), accounts=bindparam("to_accounts"))
)
_change = update(accounts).where(accounts.c.id == bindparam("which")).values(balance=accounts.c.balance + bindparam("change"))


class Book:
    """Locks `shards` until the transaction ends. Nothing is written before `write`, so what fails before it leaves nothing behind."""

    def __init__(self, connection: Connection, shards: Iterable[int], now_ms: int) -> None:
        self._connection = connection
        self.now_ms = now_ms
        rows = connection.execute(_lock, {"shards": sorted(set(shards))})
        self._chains = {row.shard: _Chain(row.place, row.hash, row.created_ms, row.accounts) for row in rows}
        self._accounts: dict[tuple[str, str, int], _Account] = {}
        self._opened: set[str] = set()
        self._entries: list[dict[str, Any]] = []
        self._lines: list[dict[str, Any]] = []

    def known(self, keys: Iterable[str]) -> dict[str, Any]:
        """The entries that were made with these keys: `id` and `request_hash`, by key."""
        statement = select(journal.c.key, journal.c.id, journal.c.request_hash)
        return {row.key: row for row in self._connection.execute(statement.where(among(self._connection, journal.c.key, keys)))}

    def replay(self, key: str, request_hash: str, reference: str) -> int | None:
        """The entry that was made with this key before, if one was. Raises KeyReused when its content was another."""
        found = self.known([key]).get(key)
        if found is None:
            return None
        if found.request_hash != request_hash:
            raise KeyReused(f"'{reference}' was used before with another content; take a new key for a new request", key=reference)
        return int(found.id)

    def next_id(self, shard: int) -> int:
        """The id that the next entry in a shard will have."""
        return (self._chains[shard].place + 1) * SHARDS + shard

    def open(self, owners: Iterable[str]) -> None:
        """Read the accounts of these owners and of the platform; before `balance` and `post`."""
        self._opened = {*owners, PLATFORM}
        statement = select(accounts).where(
            accounts.c.shard.in_(sorted(self._chains)), among(self._connection, accounts.c.owner, self._opened)
        )
        for row in self._connection.execute(statement):
            self._accounts[row.kind, row.owner, row.shard] = _Account(row.id, row.balance, row.kind in NEVER_NEGATIVE)

    def balance(self, kind: Kind, owner: str, shard: int) -> int:
        """What an account has, what was posted here included."""
        account = self._accounts.get((kind, owner, shard))
        return 0 if account is None else account.balance + account.change

    def post(self, shard: int, posting: Posting) -> int:
        """Take an entry in and give its id. The caller has seen to it that no person's account ends below zero."""
        chain = self._chains[shard]
        chain.place += 1
        chain.created_ms = max(chain.created_ms, self.now_ms)
        id = chain.place * SHARDS + shard
        total = 0
        for place, line in enumerate(posting.lines):
            account = self._accounts.get((line.kind, line.owner, shard)) or self._make_account(line, shard)
            account.change += line.amount
            total += line.amount
            if account.guarded and account.balance + account.change < 0:
                raise AssertionError(f"the {line.kind} account of '{line.owner}' would be below zero")
            self._lines.append(
                {
                    "entry_id": id,
                    "place": place,
                    "account_id": account.id,
                    "amount": line.amount,
                    "grant_id": line.grant,
                    "listing": line.listing,
                    "split": line.split,
                }
            )
        assert total == 0, "the lines of an entry sum to zero"
        chain.hash = chained(chain.hash, id, chain.created_ms, posting)
        self._entries.append(
            {
                "id": id,
                "kind": posting.kind,
                "owner": posting.owner,
                "key": posting.key,
                "request_hash": posting.request_hash,
                "run_id": posting.run_id,
                "node_id": posting.node_id,
                "operation": posting.operation,
                "reference": posting.reference,
                "description": posting.description,
                "reverses": posting.reverses,
                "created_ms": chain.created_ms,
                "hash": chain.hash,
            }
        )
        return id

    def write(self) -> None:
        """Write everything that was posted."""
        if not self._entries:
            return
        insert_rows(self._connection, journal, self._entries)
        insert_rows(self._connection, lines, self._lines)
        made = [
            {"id": account.id, "shard": shard, "kind": kind, "owner": owner, "balance": account.change}
            for (kind, owner, shard), account in self._accounts.items()
            if not account.made
        ]
        insert_rows(self._connection, accounts, made)
        changed = [
            {"which": account.id, "change": account.change} for account in self._accounts.values() if account.made and account.change
        ]
        if changed:
            self._connection.execute(_change, changed)
        advanced = [
            {"which": shard, "to_place": chain.place, "to_hash": chain.hash, "to_ms": chain.created_ms, "to_accounts": chain.accounts}
            for shard, chain in self._chains.items()
        ]
        self._connection.execute(_advance, advanced)
        note_changed(self._connection, {owner for _, owner, _ in self._accounts if owner != PLATFORM})

    def _make_account(self, line: Line, shard: int) -> _Account:
        assert line.owner in self._opened, f"the accounts of '{line.owner}' were not read"
        chain = self._chains[shard]
        chain.accounts += 1
        account = _Account(chain.accounts * SHARDS + shard, 0, line.kind in NEVER_NEGATIVE, made=False)
        self._accounts[line.kind, line.owner, shard] = account
        return account


def chained(before: str, id: int, created_ms: int, posting: Posting) -> str:
    """The hash of an entry that follows the one with the hash `before`."""
    content = [
        before,
        id,
        created_ms,
        posting.kind,
        posting.owner,
        posting.key,
        posting.request_hash,
        posting.run_id,
        posting.node_id,
        posting.operation,
        posting.reference,
        posting.description,
        posting.reverses,
        [[line.kind, line.owner, line.amount, line.grant, line.listing, line.split] for line in posting.lines],
    ]
    return hashlib.sha256(orjson.dumps(content)).hexdigest()
