"""Tables of the ledger. Journal and lines are append-only, which triggers enforce; everything else can be made from them again.

Every row belongs to a shard. All accounts that an entry touches are in its shard, so a shard is a ledger of its own: it sums to zero, has one
hash chain, and one row to lock. Rows point at each other without foreign keys, which would cost more than the insert; `verify` checks them.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, String, Table, Text, UniqueConstraint

from marquetry.marketplace.schema import Sequence, metadata

SHARDS = 16
"""Never to change: it is in every id, as `place * SHARDS + shard`."""

OWNER_CHARACTERS = 128
RUN_CHARACTERS = 128
NODE_CHARACTERS = 512
OPERATION_CHARACTERS = 128
REFERENCE_CHARACTERS = 256
DESCRIPTION_CHARACTERS = 512
LISTING_CHARACTERS = 256
KIND_CHARACTERS = 32

chains = Table(
    "ledger_chains",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("place", BigInteger, nullable=False),  # of the last journal entry; the first has place 1
    Column("hash", String(64), nullable=False),  # of the last journal entry
    Column("created_ms", BigInteger, nullable=False),  # of the last journal entry: time never runs backwards in a shard
    Column("accounts", BigInteger, nullable=False),  # how many accounts were made
)

accounts = Table(
    "ledger_accounts",
    metadata,
    Column("id", Sequence, primary_key=True, autoincrement=False),
    Column("shard", Integer, nullable=False),
    Column("kind", String(KIND_CHARACTERS), nullable=False),
    Column("owner", String(OWNER_CHARACTERS), nullable=False),  # empty: the platform
    Column("balance", BigInteger, nullable=False),
    UniqueConstraint("owner", "shard", "kind", name="uq_ledger_accounts_owner"),
    CheckConstraint("balance >= 0 OR kind NOT IN ('paid', 'granted', 'held', 'payable')", name="balance"),
)

journal = Table(
    "ledger_journal",
    metadata,
    Column("id", Sequence, primary_key=True, autoincrement=False),
    Column("kind", String(KIND_CHARACTERS), nullable=False),
    Column("owner", String(OWNER_CHARACTERS), nullable=False),  # whose credits move
    Column("key", String(32), nullable=False),  # digest of what makes the entry happen once
    Column("request_hash", String(32), nullable=False),  # digest of its content: the same key with another content is refused
    Column("run_id", String(RUN_CHARACTERS), nullable=False),
    Column("node_id", String(NODE_CHARACTERS), nullable=False),
    Column("operation", String(OPERATION_CHARACTERS), nullable=False),
    Column("reference", String(REFERENCE_CHARACTERS), nullable=False),  # the caller's key, as it was given
    Column("description", String(DESCRIPTION_CHARACTERS), nullable=False),
    Column("reverses", BigInteger),  # the entry that this one takes back, wholly or in part
    Column("created_ms", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),  # over the entry, its lines and the hash of the entry before it in the shard
    UniqueConstraint("key", name="uq_ledger_journal_key"),
)

lines = Table(
    "ledger_lines",
    metadata,
    Column("entry_id", BigInteger, primary_key=True, autoincrement=False),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("account_id", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),  # what the account gains; the lines of an entry sum to zero
    Column("grant_id", BigInteger),  # which grant the credits are of; none: they were paid for, or are the platform's or a creator's
    Column("listing", String(LISTING_CHARACTERS), nullable=False),  # what a creator earned it with
    Column("split", String(64), nullable=False),  # the rule by which it was divided
)
Index("ix_ledger_lines_account_id", lines.c.account_id, lines.c.entry_id)

holds = Table(
    "ledger_holds",
    metadata,
    Column("run_id", String(RUN_CHARACTERS), primary_key=True),
    Column("owner", String(OWNER_CHARACTERS), nullable=False),
    Column("shard", Integer, nullable=False),
    Column("purpose", String(16), nullable=False),  # run: of a job; reservation: of a person, who may capture and release it themselves
    Column("state", String(16), nullable=False),  # open, released or expired
    Column("amount", BigInteger, nullable=False),
    Column("captured", BigInteger, nullable=False),
    Column("released", BigInteger, nullable=False),
    Column("sources", Text, nullable=False),  # JSON [[grant or null, amount], ...]: what is left, in the order in which it is drawn
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("key_id", String(64)),  # the API key against whose limit it counts
    CheckConstraint("captured >= 0 AND released >= 0 AND captured + released <= amount", name="amount"),
)

grants = Table(
    "ledger_grants",
    metadata,
    Column("id", Sequence, primary_key=True, autoincrement=False),  # the journal entry that granted it
    Column("owner", String(OWNER_CHARACTERS), nullable=False),
    Column("remaining", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    CheckConstraint("remaining >= 0", name="remaining"),
)

payouts = Table(
    "ledger_payouts",
    metadata,
    Column("key", String(REFERENCE_CHARACTERS), primary_key=True),
    Column("creator", String(OWNER_CHARACTERS), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),  # begun, settled or cancelled
    Column("parts", Text, nullable=False),  # JSON [[shard, amount], ...]
    Column("created_ms", BigInteger, nullable=False),
    Column("finished_ms", BigInteger),
    Index("ix_ledger_payouts_creator", "creator", "created_ms"),
)
