"""`marquetry train`: models that this project makes itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

train = typer.Typer(help="Train models that ship with the package.", no_args_is_help=True)


@train.callback()
def _group() -> None:
    """Train models that ship with the package."""


@train.command()
def builtin(
    out: Annotated[Path, typer.Argument(help="The file to write.")],
    resume: Annotated[Path | None, typer.Option(help="Folder with what an earlier run left.", show_default=False)] = None,
    seed: Annotated[int, typer.Option(help="Seed of the training.")] = 0,
) -> None:
    """Train the built-in model from nothing, on scenes that it draws itself. Takes under an hour on two cores."""
    from marquetry.engine.training.builtin import train_builtin

    train_builtin(out, resume=resume, seed=seed, report=typer.echo)
