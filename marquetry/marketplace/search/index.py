"""The index of a database: one row of words for each listing that everybody may find. FTS5 in SQLite, a `tsvector` with GIN in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import bindparam, column, literal_column, select, table, text

from marquetry.marketplace.listings.tables import creators, listings
from marquetry.marketplace.search.words import asked, indexed

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Select

MATCHES = table("listing_search", column("rowid"), column("document"))
_remove = {name: text(f"DELETE FROM listing_search WHERE {key} = :seq") for name, key in (("sqlite", "rowid"), ("postgresql", "seq"))}
_DOCUMENT = (
    "setweight(to_tsvector('simple', :title), 'A') || setweight(to_tsvector('simple', :words), 'B') || "
    "setweight(to_tsvector('simple', :body), 'D')"
)
_change = {
    "sqlite": text("UPDATE listing_search SET title = :title, words = :words, body = :body WHERE rowid = :seq"),
    "postgresql": text(f"UPDATE listing_search SET document = {_DOCUMENT} WHERE seq = :seq"),
}
_add = {
    "sqlite": text("INSERT INTO listing_search (rowid, title, words, body) VALUES (:seq, :title, :words, :body)"),
    "postgresql": text(f"INSERT INTO listing_search (seq, document) VALUES (:seq, {_DOCUMENT})"),
}


def index_listing(connection: Connection, listing_id: str) -> None:
    """Bring a listing's row up to date, from its first publication on; whether it is shown is asked of the listing.

    Rows are changed, never taken out and put in again: in one transaction SQLite's FTS5 before 3.42 loses itself over that.
    """
    row = connection.execute(select(listings).where(listings.c.id == listing_id)).first()
    if row is None or row.published_ms is None:
        return
    dialect = connection.dialect.name
    words = {"seq": row.seq, **_words(connection, row)}
    if not connection.execute(_change[dialect], words).rowcount:
        connection.execute(_add[dialect], words)


def remove_from_index(connection: Connection, seq: int) -> None:
    """For a listing that is deleted."""
    connection.execute(_remove[connection.dialect.name], {"seq": seq})


def document(connection: Connection, row: Any) -> dict[str, str]:
    """The words of a listing by weight, for engines outside the database."""
    return _words(connection, row)


def matching(dialect: str, words: str) -> ColumnElement[bool] | None:
    """The condition that a listing holds all of the words, the last one begun; None where no word was given."""
    wanted = asked(words)
    if not wanted:
        return None
    if dialect == "postgresql":
        query = " & ".join(wanted) + ":*"
        return listings.c.seq.in_(text("SELECT seq FROM listing_search WHERE document @@ to_tsquery('simple', :words)").bindparams(words=query).columns(column("seq")))  # fmt: skip
    return listings.c.seq.in_(text("SELECT rowid FROM listing_search WHERE listing_search MATCH :words").bindparams(words=_fts5(wanted)).columns(column("rowid")))  # fmt: skip


def ranked(statement: Select[Any], dialect: str, words: str) -> Select[Any]:
    """The listings that hold the words, best first."""
    wanted = asked(words)
    if dialect == "postgresql":
        found = text(
            "SELECT seq, ts_rank_cd(document, to_tsquery('simple', :words)) AS rank FROM listing_search WHERE document @@ to_tsquery('simple', :words)"
        )
        matches = found.bindparams(bindparam("words", " & ".join(wanted) + ":*")).columns(column("seq"), column("rank")).subquery("matches")
        return statement.join(matches, matches.c.seq == listings.c.seq).order_by(
            literal_column("matches.rank").desc(), listings.c.seq.desc()
        )
    found = text("SELECT rowid AS seq, bm25(listing_search, 10, 4, 1) AS rank FROM listing_search WHERE listing_search MATCH :words")
    matches = found.bindparams(bindparam("words", _fts5(wanted))).columns(column("seq"), column("rank")).subquery("matches")
    return statement.join(matches, matches.c.seq == listings.c.seq).order_by(literal_column("matches.rank"), listings.c.seq.desc())


def _fts5(wanted: list[str]) -> str:
    return " ".join(f'"{word}"' for word in wanted) + " *"


def _words(connection: Connection, row: Any) -> dict[str, str]:
    lists = [orjson.loads(value) for value in (row.tags, row.base_models, row.trigger_words)]
    name = connection.execute(select(creators.c.name).where(creators.c.owner == row.owner)).scalar() or ""
    return {
        "title": indexed(row.title),
        "words": indexed(*lists, row.handle, name, row.slug, row.category, row.kind),
        "body": indexed(row.summary, row.description),
    }
