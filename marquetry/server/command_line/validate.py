"""`marquetry validate`: every problem of a graph, without running it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marquetry.server.command_line.exits import INVALID_GRAPH, explained
from marquetry.server.command_line.options import Config, Data, ExtraPaths, Json, NoPacks, settings_from


def validate(
    graph: Annotated[
        Path,
        typer.Argument(
            help="API or editor JSON, a picture that carries its graph, the name of a shipped graph, or - for the standard input."
        ),
    ],
    data: Data = None,
    config: Config = None,
    extra_model_paths_config: ExtraPaths = None,
    disable_all_custom_nodes: NoPacks = False,
    as_json: Json = False,
) -> None:
    """Check a graph and print every problem at once. Ends with 3 when there is one."""
    import asyncio
    import json

    from marquetry.engine.graph import Graph
    from marquetry.engine.validation import validate as check
    from marquetry.server.command_line.graph_file import read_graph
    from marquetry.server.command_line.problems import print_problems, problem_json
    from marquetry.server.data_folders import folders_of
    from marquetry.server.node_types import registry_of

    settings = settings_from(
        config, data=data, extra_model_paths=extra_model_paths_config or None, custom_nodes=False if disable_all_custom_nodes else None
    )
    with explained():
        folders = folders_of(settings)
        registry, _ = registry_of(settings, folders)
        read, problems = read_graph(graph, registry, folders)
        if not problems:
            problems = list(asyncio.run(check(Graph.from_api(read), registry, folders)).problems)
    if as_json:
        typer.echo(json.dumps({"ok": not problems, "problems": [problem_json(problem) for problem in problems]}, indent=2))
    else:
        print_problems(problems)
        if not problems:
            typer.echo(f"{graph}: {len(read)} nodes, no problems")
    if problems:
        raise typer.Exit(INVALID_GRAPH)
