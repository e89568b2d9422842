"""`marquetry models`: the weight files of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marquetry.server.command_line.exits import FAILED, NOT_FOUND, explained, leave
from marquetry.server.command_line.options import Config, Data, ExtraPaths, Json, settings_from

if TYPE_CHECKING:
    from marquetry.engine.models.store import ModelStore

models = typer.Typer(help="List, add, show and verify weight files.", no_args_is_help=True)
Kind = Annotated[str | None, typer.Option("--kind", help="Kind of model: checkpoints, loras, vae, ...", show_default=False)]


def _store(data: Path | None, config: Path | None, extra: list[Path] | None = None) -> ModelStore:
    from marquetry.engine.models.store import ModelStore
    from marquetry.server.data_folders import folders_of

    settings = settings_from(config, data=data, extra_model_paths=extra or None)
    with explained():
        folders = folders_of(settings)
        folders.create()
        return ModelStore(folders)


def _find(store: ModelStore, name: str, kind: str | None) -> tuple[str, str]:
    found = [entry for entry in store.all() if entry[1] == name and kind in (None, entry[0])]
    if not found:
        leave(NOT_FOUND, f"there is no model '{name}'" + (f" among the {kind}" if kind else ""))
    return found[0]


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


@models.command("list")
def list_models(
    kind: Kind = None, data: Data = None, config: Config = None, extra_model_paths_config: ExtraPaths = None, as_json: Json = False
) -> None:
    """List weight files by kind."""
    import json

    store = _store(data, config, extra_model_paths_config)
    with explained():
        found = [(kind, name) for name in store.names(kind)] if kind is not None else list(store.all())
    if as_json:
        typer.echo(json.dumps([{"kind": kind, "name": name} for kind, name in found], indent=2))
        return
    for entry in found:
        typer.echo(f"{entry[0]}: {entry[1]}")
    if not found:
        typer.echo(f"no models yet; put files below {store.folders.models} or use 'marquetry models add'")


@models.command()
def add(
    source: Annotated[str, typer.Argument(help="An address, huggingface:owner/repo/file or civitai:version.")],
    kind: Kind = None,
    name: Annotated[str | None, typer.Option(help="Name of the file; by default the site's.", show_default=False)] = None,
    sha256: Annotated[str | None, typer.Option(help="Expected hash.", show_default=False)] = None,
    allow_pickle: Annotated[bool, typer.Option(help="Take a pickle as well, and convert it to safetensors without executing it.")] = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Fetch a weight file: resumed after a cut, checked against its hash."""
    import asyncio
    import os
    from dataclasses import replace

    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from marquetry.engine.models.download import add_model
    from marquetry.engine.models.sources import Sites

    settings = settings_from(config, data=data)
    store = _store(data, config)
    sites = Sites.from_environment(os.environ)
    if settings.huggingface_token is not None:
        sites = replace(sites, huggingface_token=settings.huggingface_token.get_secret_value())
    if settings.civitai_token is not None:
        sites = replace(sites, civitai_token=settings.civitai_token.get_secret_value())
    with explained(), Progress(TextColumn(source), BarColumn(), DownloadColumn(), TransferSpeedColumn()) as bar:
        task = bar.add_task("", total=None)
        fetched = asyncio.run(
            add_model(
                store, source, kind=kind, name=name, sha256=sha256, allow_pickle=allow_pickle, sites=sites,
                progress=lambda here, total: bar.update(task, completed=here, total=total),
            )
        )  # fmt: skip
    typer.echo(f"{fetched.kind}: {fetched.name} ({_size(fetched.size_bytes)}, SHA-256 {fetched.sha256})")


@models.command()
def show(
    name: Annotated[str, typer.Argument(help="Name of the file, as 'models list' shows it.")],
    kind: Kind = None,
    data: Data = None,
    config: Config = None,
    extra_model_paths_config: ExtraPaths = None,
    as_json: Json = False,
) -> None:
    """Tell what a weight file is, from its header."""
    import json
    from dataclasses import asdict

    store = _store(data, config, extra_model_paths_config)
    with explained():
        stored = store.show(*_find(store, name, kind), with_hash=True)
    if as_json:
        typer.echo(json.dumps(asdict(stored), indent=2, default=str))
        return
    typer.echo(f"{stored.kind}: {stored.name}\n  file       {stored.path}\n  size       {_size(stored.size_bytes)}")
    typer.echo(f"  family     {stored.family or 'not recognised'} ({stored.layout})\n  parts      {', '.join(stored.parts) or '-'}")
    typer.echo(
        f"  parameters {stored.parameters:,}\n  types      {', '.join(f'{kind} x {count}' for kind, count in stored.dtypes.items())}"
    )
    typer.echo(f"  SHA-256    {stored.sha256}")


@models.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Files to read through; without one, all.", show_default=False)] = None,
    sha256: Annotated[str | None, typer.Option(help="Expected hash, for one file.", show_default=False)] = None,
    kind: Kind = None,
    data: Data = None,
    config: Config = None,
    extra_model_paths_config: ExtraPaths = None,
) -> None:
    """Read weight files through: are they sound, and are they what they were? Ends with 1 when one is not."""
    store = _store(data, config, extra_model_paths_config)
    chosen = [_find(store, name, kind) for name in names] if names else [entry for entry in store.all() if kind in (None, entry[0])]
    faults = 0
    for entry in chosen:
        with explained():
            verified = store.verify(*entry, expected_sha256=sha256)
        faults += verified.problem is not None
        typer.echo(f"{entry[0]}: {entry[1]}: {verified.problem or 'ok'}")
    if faults:
        raise typer.Exit(FAILED)
