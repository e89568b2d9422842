"""`marquetry bench`: the benchmarks of a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marquetry.server.command_line.exits import NOT_FOUND, leave

BENCHMARKS = Path(__file__).parents[3] / "tests" / "bench"


def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Benchmarks to run; without one, they are listed.", show_default=False)] = None,
) -> None:
    """Measure how fast this machine is. The benchmarks are part of the source checkout, not of the installed package."""
    import subprocess
    import sys

    if not BENCHMARKS.is_dir():
        leave(NOT_FOUND, "the benchmarks come with the source checkout; run this inside of one")
    found = {path.stem: path for path in sorted(BENCHMARKS.glob("*.py")) if not path.stem.startswith("_")}
    if not names:
        typer.echo("\n".join(found))
        return
    for name in names:
        if name not in found:
            leave(NOT_FOUND, f"there is no benchmark '{name}'; there is {', '.join(found)}")
        ended = subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], cwd=BENCHMARKS.parents[1], check=False)
        if ended.returncode:
            raise typer.Exit(ended.returncode)
