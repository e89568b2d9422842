"""The program: all commands together. Each imports what it needs when it runs, so that help is there at once."""

from __future__ import annotations

import sys

import typer

from marquetry.server.command_line.bench import bench
from marquetry.server.command_line.comfy_flags import rewritten
from marquetry.server.command_line.config import config
from marquetry.server.command_line.exits import EPILOG, INTERRUPTED
from marquetry.server.command_line.ledger import ledger
from marquetry.server.command_line.mocks import mocks
from marquetry.server.command_line.models import models
from marquetry.server.command_line.nodes import nodes
from marquetry.server.command_line.run import run as run_graph
from marquetry.server.command_line.serve import serve
from marquetry.server.command_line.storage import storage
from marquetry.server.command_line.train import train
from marquetry.server.command_line.users import users
from marquetry.server.command_line.validate import validate
from marquetry.server.command_line.version import version

program = typer.Typer(
    name="marquetry",
    help="A node-graph workflow engine for generative media; runs ComfyUI's graphs, clients and packs.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (serve, validate, nodes, config, bench, mocks, version):
    program.command(epilog=EPILOG)(command)
program.command("run", epilog=EPILOG)(run_graph)
program.add_typer(ledger, name="ledger", epilog=EPILOG)
program.add_typer(models, name="models", epilog=EPILOG)
program.add_typer(storage, name="storage", epilog=EPILOG)
program.add_typer(train, name="train", epilog=EPILOG)
program.add_typer(users, name="users", epilog=EPILOG)


def run(arguments: list[str]) -> None:
    """Run one command and end the process with its exit code."""
    ignored: list[str] = []
    if arguments[:1] == ["serve"]:
        written, ignored = rewritten(arguments[1:])
        arguments = ["serve", *written]
    try:
        program(arguments, obj={"ignored": ignored})
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
