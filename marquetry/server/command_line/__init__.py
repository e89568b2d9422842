"""The command line, `marquetry`: one file a command."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """The console entry. Exit codes are those of `exits`."""
    from marquetry.server.command_line.program import run

    run(list(sys.argv[1:] if arguments is None else arguments))
