"""Options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from marquetry.server.settings import Settings

Data = Annotated[Path | None, typer.Option("--data", "--base-directory", help="Folder with everything that is kept.", show_default=False)]
Config = Annotated[
    Path | None, typer.Option("--config", help="YAML file with settings; by default marquetry.yaml in the data folder.", show_default=False)
]
ExtraPaths = Annotated[
    list[Path] | None,
    typer.Option("--extra-model-paths-config", help="File that names further model folders, as ComfyUI's.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
NoPacks = Annotated[bool, typer.Option("--disable-all-custom-nodes", help="Load no node packs.")]


def settings_from(config: Path | None, **given: Any) -> Settings:
    """The settings, read from all sources; ends the command with a message when they are wrong."""
    from marquetry.server.command_line.exits import explained
    from marquetry.server.settings import Settings

    with explained():
        return Settings.read(config, **given)
