"""Tables of the market share one metadata object. Times are milliseconds since the epoch, money is integers of micro-credits."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, MetaData

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Sequence = BigInteger().with_variant(Integer, "sqlite")
"""A number that the database counts up."""

MICROCREDITS = 1_000_000
"""Micro-credits in a credit; a credit is 0.001 US dollars (catalogue, CON-01)."""
