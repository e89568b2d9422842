"""`marquetry serve`: the server, until it is stopped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marquetry.server.command_line.options import Config, Data, ExtraPaths, NoPacks, settings_from

if TYPE_CHECKING:
    from marquetry.server.settings import Settings

MIB = 2**20


def serve(
    context: typer.Context,
    data: Data = None,
    config: Config = None,
    listen: Annotated[
        str | None,
        typer.Option(help="Address to listen on; without a value every one, so that other machines reach the server.", show_default=False),
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", show_default="8188")] = None,
    input_directory: Annotated[Path | None, typer.Option(help="Where uploads are.", show_default=False)] = None,
    output_directory: Annotated[Path | None, typer.Option(help="Where results are saved.", show_default=False)] = None,
    temp_directory: Annotated[Path | None, typer.Option(help="Where previews are.", show_default=False)] = None,
    user_directory: Annotated[Path | None, typer.Option(help="Where settings and graphs of people are.", show_default=False)] = None,
    extra_model_paths_config: ExtraPaths = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="Compute on the processor.")] = False,
    cuda_device: Annotated[
        int | None, typer.Option("--cuda-device", "--default-device", help="Number of the accelerator.", show_default=False)
    ] = None,
    cache_lru: Annotated[int | None, typer.Option(help="Keep at most that many results.", show_default=False)] = None,
    cache_none: Annotated[bool, typer.Option("--cache-none", help="Keep no results.")] = False,
    cache_memory_mib: Annotated[int | None, typer.Option(help="Memory for results.", show_default="a quarter of the machine's")] = None,
    preview_method: Annotated[str | None, typer.Option(help="none, auto, latent2rgb or taesd.", show_default="auto")] = None,
    preview_size: Annotated[int | None, typer.Option(help="Largest side of a preview in pixels.", show_default="512")] = None,
    max_upload_size: Annotated[float | None, typer.Option(help="Size of an upload in MiB.", show_default="100")] = None,
    enable_cors_header: Annotated[
        str | None, typer.Option(help="Origin whose pages may call the server; without a value every one.", show_default=False)
    ] = None,
    verbose: Annotated[str | None, typer.Option(help="Level of the log; without a value DEBUG.", show_default="INFO")] = None,
    multi_user: Annotated[bool, typer.Option("--multi-user", help="Keep settings and files of several people apart.")] = False,
    disable_metadata: Annotated[bool, typer.Option("--disable-metadata", help="Save pictures without the graph that made them.")] = False,
    disable_all_custom_nodes: NoPacks = False,
    whitelist_custom_nodes: Annotated[list[str] | None, typer.Option(help="Load only these node packs.", show_default=False)] = None,
    database_url: Annotated[
        str | None, typer.Option(help="SQLAlchemy URL of the database.", show_default="SQLite in the data folder")
    ] = None,
    workers: Annotated[str | None, typer.Option(help="process or inline.", show_default="process")] = None,
    worker_count: Annotated[int | None, typer.Option(help="How many workers.", show_default="1")] = None,
    environment: Annotated[str | None, typer.Option(help="Profile: development, staging or production.", show_default="production")] = None,
    reload: Annotated[
        bool | None, typer.Option(help="Start anew when sources or node packs change.", show_default="in development")
    ] = None,
    mock_services: Annotated[bool, typer.Option("--mock-services", help="Use local mocks of outside services; in development.")] = False,
) -> None:
    """Serve the API and the editor. Understands ComfyUI's flags; those that change nothing here are named in a warning."""
    import logging

    log = logging.getLogger("marquetry")
    given: dict[str, Any] = {
        "data": data,
        "host": listen,
        "listen": True if listen is not None else None,
        "port": port,
        "input_directory": input_directory,
        "output_directory": output_directory,
        "temp_directory": temp_directory,
        "user_directory": user_directory,
        "extra_model_paths": extra_model_paths_config or None,
        "device": "cpu" if cpu else None if cuda_device is None else f"cuda:{cuda_device}",
        "cache_entries": cache_lru or None,
        "cache_memory_bytes": 0 if cache_none else None if cache_memory_mib is None else cache_memory_mib * MIB,
        "cache_disk_bytes": 0 if cache_none else None,
        "preview_method": preview_method,
        "preview_size": preview_size,
        "limits": None if max_upload_size is None else {"upload_bytes": int(max_upload_size * MIB)},
        "cors_origin": enable_cors_header,
        "log_level": None if verbose is None else verbose.upper(),
        "multi_user": multi_user or None,
        "disable_metadata": disable_metadata or None,
        "custom_nodes": False if disable_all_custom_nodes else None,
        "custom_nodes_allowed": whitelist_custom_nodes or None,
        "database_url": database_url,
        "workers": workers,
        "worker_count": worker_count,
        "environment": environment,
        "reload": reload,
        "mock_services": mock_services or None,
    }
    settings = settings_from(config, **given)
    ignored = context.obj.get("ignored", []) if isinstance(context.obj, dict) else []
    if ignored:
        log.warning("these flags of ComfyUI have no effect here: %s", " ".join(ignored))
    if settings.reachable_from_elsewhere and not settings.accounts.enabled:
        log.warning("%s can be reached from other machines, and there are no accounts: whoever reaches it may use it", settings.host)
    from contextlib import ExitStack

    from marquetry.server.command_line import development

    with ExitStack() as stack:
        if settings.reloads and not development.is_child():
            development.watch(settings)
            return
        if settings.mock_services:
            settings = stack.enter_context(development.with_mocks(settings, lambda: settings_from(config, **given)))
        _run(settings)


def _run(settings: Settings) -> None:
    import gc

    from marquetry.engine.collector import calm
    from marquetry.server.command_line.exits import explained

    def listening(address: str) -> None:
        calm()
        typer.echo(f"Marquetry listens on {address}")

    gc.disable()  # imports leave no garbage, and looking for it takes a twentieth of the start
    try:
        from marquetry.server.app import serve as run_server

        with explained():
            run_server(settings, listening)
    finally:
        gc.enable()
