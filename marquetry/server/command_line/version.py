"""`marquetry version`."""

from __future__ import annotations

import typer


def version() -> None:
    """Print the version."""
    from marquetry import __version__

    typer.echo(f"marquetry {__version__}")
