"""`marquetry config`: the settings as they are, secrets hidden."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from marquetry.server.command_line.options import Config, Data, settings_from


class Format(StrEnum):
    """How settings are printed."""

    text = "text"
    json = "json"
    yaml = "yaml"


def config(
    data: Data = None,
    config: Config = None,
    format: Annotated[Format, typer.Option(help="How to print.")] = Format.text,
) -> None:
    """Print the settings that a server would run with, from the environment and the configuration file."""
    shown = settings_from(config, data=data).shown()
    if format is Format.json:
        import json

        typer.echo(json.dumps(shown, indent=2))
    elif format is Format.yaml:
        import yaml

        typer.echo(yaml.safe_dump(shown, sort_keys=False), nl=False)
    else:
        for name, value in _flat(shown):
            typer.echo(f"{name} = {value}")


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for name, value in values.items():
        flat += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return flat
