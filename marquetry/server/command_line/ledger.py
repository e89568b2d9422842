"""`marquetry ledger`: verify the books, see a balance, grant credits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marquetry.server.command_line.exits import FAILED, explained, leave
from marquetry.server.command_line.options import Config, Data, Json, settings_from

if TYPE_CHECKING:
    from sqlalchemy import Connection

ledger = typer.Typer(help="Verify the credits' books, see balances, grant credits.", no_args_is_help=True)
Owner = Annotated[str, typer.Argument(help="Id of the person; 'default' on a server with one user.")]


@contextmanager
def _connected(data: Path | None, config: Path | None, *, write: bool) -> Iterator[Connection]:
    """A connection to the database of the settings, in no transaction yet; tables of this version are seen to when writing."""
    from marquetry.marketplace.errors import MarketError
    from marquetry.server.database.connect import make_engine
    from marquetry.server.database.migrate import migrate

    with explained():
        url = settings_from(config, data=data).database
        engine = make_engine(url, write=write)
        if engine.dialect.name == "sqlite" and not Path(str(engine.url.database)).is_file():
            leave(FAILED, f"there is no database at {engine.url.database} yet; 'marquetry serve' makes one")
        try:
            with engine.connect() as connection:
                if write:
                    with connection.begin():
                        migrate(connection)
                yield connection
        except MarketError as error:
            leave(FAILED, error.message)
        finally:
            engine.dispose()


@ledger.command()
def verify(data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """Check every promise of the ledger: sums, balances, hash chains, holds, grants, refunds, payouts. Ends with 1 when one is broken."""
    import json

    from marquetry.marketplace import ledger as books

    with _connected(data, config, write=False) as connection:
        faults = books.verify(connection)
        ends = books.heads(connection)
    if as_json:
        shown = {"faults": faults, "heads": {shard: {"place": place, "hash": hash} for shard, (place, hash) in ends.items()}}
        typer.echo(json.dumps(shown, indent=2))
    else:
        for fault in faults:
            typer.echo(fault)
        if not faults:
            typer.echo(f"sound: {sum(place for place, _ in ends.values())} entries in {len(ends)} chains")
    if faults:
        raise typer.Exit(FAILED)


@ledger.command()
def balance(owner: Owner, data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """Show a person's credits, in micro-credits (a credit is 1,000,000 of them)."""
    import json
    from dataclasses import asdict

    from marquetry.marketplace import ledger as books

    with _connected(data, config, write=False) as connection:
        shown = asdict(books.balance(connection, owner)) | asdict(books.earnings(connection, owner))
    if as_json:
        typer.echo(json.dumps({f"{name}_microcredits": amount for name, amount in shown.items()}, indent=2))
    else:
        for name, amount in shown.items():
            typer.echo(f"{name:8} {amount:>20,}")


@ledger.command()
def grant(
    owner: Owner,
    credits: Annotated[int, typer.Argument(min=1, max=1_000_000_000, help="How many whole credits.")],
    reason: Annotated[str, typer.Option(help="Why; the person sees it.")],
    key: Annotated[str | None, typer.Option(help="Grants with the same key happen once.", show_default=False)] = None,
    days: Annotated[int | None, typer.Option(min=1, max=36_500, help="Days until they expire.", show_default=False)] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Give a person credits."""
    import secrets
    import time

    from marquetry.marketplace import ledger as books
    from marquetry.marketplace.schema import MICROCREDITS

    now_ms = time.time_ns() // 1_000_000
    with _connected(data, config, write=True) as connection, connection.begin():
        books.credit(
            connection,
            owner=owner,
            amount_microcredits=credits * MICROCREDITS,
            purse="granted",
            kind="bonus",
            key=f"command line: {key or secrets.token_hex(16)}",
            description=reason,
            now_ms=now_ms,
            expires_ms=None if days is None else now_ms + days * 86_400_000,
        )
        typer.echo(f"granted: '{owner}' has {books.balance(connection, owner).granted:,} granted micro-credits")
