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
    out: Annotated[Path | None, typer.Argument(help="The file to write; by default the one that ships.", show_default=False)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from what an earlier, unfinished run left beside the file.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the training.")] = 0,
    minutes: Annotated[float | None, typer.Option(help="Shorten the training to about this long.", show_default=False)] = None,
) -> None:
    """Train the built-in model from nothing, on scenes that it draws itself.."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from marquetry.nodes.world.builtin import BUILTIN_MODEL, train_builtin

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("training", total=1.0)
        train_builtin(
            out or BUILTIN_MODEL, resume=resume, seed=seed, minutes=minutes,
            report=lambda stage, fraction: progress.update(task, description=stage, completed=fraction),
        )  # fmt: skip
