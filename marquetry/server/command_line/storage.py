"""`marquetry storage`: look after stored files without a server, or beside one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from marquetry.server.command_line.exits import FAILED, explained, leave
from marquetry.server.command_line.options import Config, Data, Json, settings_from

if TYPE_CHECKING:
    from marquetry.server.settings import Settings
    from marquetry.server.storage.cleaning import Report

storage = typer.Typer(help="Look after stored files.", no_args_is_help=True)


@storage.callback()
def _group() -> None:
    """Look after stored files."""


@storage.command()
def clean(
    data: Data = None,
    config: Config = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    json: Json = False,
) -> None:
    """Delete expired files, bytes that belong to nothing, and what does not fit into caches; may run beside a server."""
    from marquetry.marketplace.errors import MarketError

    settings = settings_from(config, data=data)
    try:
        with explained():
            report = asyncio.run(_clean(settings, dry_run))
    except MarketError as error:
        leave(FAILED, error.message)
    if json:
        from marquetry.server.http.answer import encode

        typer.echo(encode(vars(report)).decode())
    else:
        typer.echo("would be deleted:" if dry_run else "deleted:")
        for line in report.lines():
            typer.echo(f"  {line}")
    if report.failed:
        leave(FAILED, "a part of the cleaning failed; see above")


async def _clean(settings: Settings, dry_run: bool) -> Report:
    from marquetry.server.data_folders import folders_of
    from marquetry.server.database.database import Database
    from marquetry.server.jobs.live import now_ms
    from marquetry.server.storage.cleaning import Cleaning
    from marquetry.server.storage.parts import PartUploads
    from marquetry.server.storage.plans import SettingsPlans
    from marquetry.server.storage.storage import Storage
    from marquetry.server.storage.stores import incoming_of, store_of, thumbnails_of
    from marquetry.server.storage.thumbnails import Thumbnails

    store = store_of(settings)
    store.check()
    database = await Database.open(settings.database)
    plans = SettingsPlans(settings.storage)
    kept = Storage(settings.storage, database, store, folders_of(settings), plans, incoming_of(settings))
    try:
        thumbnails = Thumbnails(kept, thumbnails_of(settings), settings.limits.image_pixels)
        return await Cleaning(kept, thumbnails, PartUploads(kept), pause_s=0).run(now_ms(), dry_run=dry_run)
    finally:
        await kept.close()
        await database.close()
