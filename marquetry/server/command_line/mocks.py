"""`marquetry mocks`: local peers of outside services, for trying without accounts there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def mocks(
    content: Annotated[Path, typer.Option(help="Folder with what they serve, one sub-folder for each service.")] = Path("mocks"),
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8190,
) -> None:
    """Serve mocks of outside services on this machine and print the variables that lead the program to them. For development only."""
    import asyncio

    from marquetry.server.mocks import served

    async def run() -> None:
        async with served(content, port) as environment:
            for name, value in environment.items():
                typer.echo(f"export {name}={value}")
            await asyncio.Event().wait()

    asyncio.run(run())
