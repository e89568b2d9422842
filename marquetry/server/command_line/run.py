"""`marquetry run`: one graph, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marquetry.server.command_line.exits import FAILED, INTERRUPTED, INVALID_GRAPH, OK, explained, leave
from marquetry.server.command_line.options import Config, Data, ExtraPaths, Json, NoPacks, settings_from

if TYPE_CHECKING:
    from marquetry.engine.validation import Validation
    from marquetry.server.jobs.workers.parts import EngineParts


def run(
    graph: Annotated[
        Path,
        typer.Argument(
            help="API or editor JSON, a picture that carries its graph, the name of a shipped graph, or - for the standard input."
        ),
    ],
    set: Annotated[
        list[str] | None, typer.Option("--set", help="NODE.INPUT=VALUE; NODE is an id, a title or a type.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "--output-directory", help="Where results are saved.", show_default=False)
    ] = None,
    data: Data = None,
    config: Config = None,
    extra_model_paths_config: ExtraPaths = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="Compute on the processor.")] = False,
    disable_all_custom_nodes: NoPacks = False,
    as_json: Json = False,
) -> None:
    """Run a graph and print the files that it saved."""
    settings = settings_from(
        config,
        data=data,
        output_directory=None if output is None else output.absolute(),
        extra_model_paths=extra_model_paths_config or None,
        custom_nodes=False if disable_all_custom_nodes else None,
        device="cpu" if cpu else None,
    )
    with explained():
        from marquetry.server.jobs.workers.engine import build_engine
        from marquetry.server.workers import options_of

        parts = build_engine(options_of(settings))
        validation = _prepare(graph, set or [], parts, as_json)
    code = _execute(parts, validation, as_json)
    if code != OK:
        raise typer.Exit(code)


def _prepare(path: Path, changes: list[str], parts: EngineParts, as_json: bool) -> Validation:
    """The graph, read, changed and checked; ends the command when it can't run."""
    import asyncio
    import json

    from marquetry.engine.graph import Graph
    from marquetry.engine.validation import validate
    from marquetry.server.command_line.graph_file import change, read_graph
    from marquetry.server.command_line.problems import print_problems, problem_json

    folders = parts.services.folders
    api, problems = read_graph(path, parts.registry, folders)
    change(api, changes)
    validation = asyncio.run(validate(Graph.from_api(api), parts.registry, folders))
    problems = problems or list(validation.problems)
    if problems and not as_json:
        print_problems(problems)
    if not validation.outputs:
        parts.executor.close()
        if as_json:
            typer.echo(json.dumps({"status": "invalid", "problems": [problem_json(problem) for problem in problems]}, indent=2))
        leave(INVALID_GRAPH, "" if problems else "the graph has nothing to run")
    return validation


def _execute(parts: EngineParts, validation: Validation, as_json: bool) -> int:
    import json
    import signal
    import sys
    import uuid

    from marquetry.server.command_line.progress import Display

    display = Display(validation.graph, parts.registry, quiet=as_json or not sys.stderr.isatty())
    with display:
        running = parts.executor.submit(
            validation.graph, job_id=str(uuid.uuid4()), outputs=validation.outputs, extra={}, listener=display.hear
        )
        before = signal.signal(signal.SIGINT, lambda *_: running.cancel())
        try:
            ended = running.done.result()
        finally:
            signal.signal(signal.SIGINT, before)
            parts.executor.close()
    files = [str(path) for path in display.files(parts.services.folders)]
    if as_json:
        error = display.error or ended.message
        answer: dict[str, Any] = {"status": ended.state, "files": files, "outputs": display.shown, "duration_s": round(ended.duration_s, 3)}
        typer.echo(json.dumps(answer | ({"error": error} if error else {}), indent=2, default=str))
    else:
        for path in files:
            typer.echo(path)
        if ended.state == "failed":
            sys.stderr.write(f"marquetry: {display.error or ended.message}\n")
    return {"completed": OK, "cancelled": INTERRUPTED}.get(ended.state, FAILED)
