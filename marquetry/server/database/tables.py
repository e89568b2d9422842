"""Tables. Times are milliseconds since the epoch; JSON and records are bytes, encoded once by who writes them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Sequence = BigInteger().with_variant(Integer, "sqlite")

jobs = Table(
    "jobs",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("id", String(128), nullable=False, unique=True),
    Column("owner", String(256), nullable=False),
    Column("client_id", String(256), nullable=False),
    Column("client", String(256), nullable=False),  # whose queue length is limited: the owner, or who has none, the client
    Column("state", String(16), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("number", Double, nullable=False),
    Column("turn", BigInteger, nullable=False),  # the owner's place among the owners, lower first
    Column("affinity", String(512), nullable=False),  # the weights that the job needs first
    Column("passed", Integer, nullable=False),  # how often a job with better affinity went before
    Column("max_running", Integer),  # how many jobs of the owner may run at the same time; nothing: no bound
    Column("expected_ms", BigInteger),  # how long it will run by what its nodes took before, where that is known
    Column("created_ms", BigInteger, nullable=False),
    Column("started_ms", BigInteger),
    Column("finished_ms", BigInteger),
    Column("attempts", Integer, nullable=False),
    Column("set_aside", Boolean, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("lease_token", String(32)),
    Column("lease_holder", String(256)),
    Column("lease_expires_ms", BigInteger),
    Column("idempotency_key", String(256)),
    Column("fingerprint", LargeBinary),  # of the request that the idempotency key came with
    Column("outputs", LargeBinary, nullable=False),  # JSON list of the output nodes to run
    Column("record", LargeBinary),  # what happened, written once with the final state
)

job_graphs = Table(
    "job_graphs",
    metadata,
    Column("job_id", String(128), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("graph", LargeBinary, nullable=False),
    Column("extra", LargeBinary, nullable=False),
    Column("published", LargeBinary),  # the published graphs that it uses, see server.published; shown to nobody
)
