"""Exit codes, the same for every command."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

OK, FAILED, USAGE, INVALID_GRAPH, NOT_FOUND, INTERRUPTED = 0, 1, 2, 3, 4, 130
EPILOG = "Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 invalid graph, 4 not found, 130 interrupted."


def leave(code: int, message: str = "") -> NoReturn:
    """End with an exit code, and a message on the error stream."""
    import typer

    if message:
        sys.stderr.write(f"marquetry: {message}\n")
    raise typer.Exit(code)


@contextmanager
def explained(tell: Callable[[int, str], NoReturn] = leave) -> Iterator[None]:
    """Turn errors that are meant for a person into a message and an exit code."""
    from marquetry.engine.errors import EngineError, GraphError, ModelNotFound, UnknownNodeType
    from marquetry.server.errors import ServerError, SettingsError

    try:
        yield
    except GraphError as error:
        tell(INVALID_GRAPH, error.message)
    except (ModelNotFound, UnknownNodeType) as error:
        tell(NOT_FOUND, error.message)
    except SettingsError as error:
        tell(USAGE, error.message)
    except (EngineError, ServerError) as error:
        tell(FAILED, error.message)
