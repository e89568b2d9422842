"""`marquetry nodes`: which nodes there are, and what one of them takes and gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from marquetry.server.command_line.exits import NOT_FOUND, explained, leave
from marquetry.server.command_line.options import Config, Data, Json, NoPacks, settings_from

if TYPE_CHECKING:
    from marquetry.engine.folders import Folders
    from marquetry.engine.schema import NodeType


def nodes(
    id: Annotated[str | None, typer.Argument(help="The node to describe; without one, all are listed.", show_default=False)] = None,
    search: Annotated[str, typer.Option(help="List only nodes whose id, title, category or other names hold this.")] = "",
    data: Data = None,
    config: Config = None,
    disable_all_custom_nodes: NoPacks = False,
    as_json: Json = False,
) -> None:
    """List the nodes, or describe one."""
    import json

    from marquetry.engine.registry import describe
    from marquetry.server.data_folders import folders_of
    from marquetry.server.node_types import registry_of

    settings = settings_from(config, data=data, custom_nodes=False if disable_all_custom_nodes else None)
    with explained():
        folders = folders_of(settings)
        registry, _ = registry_of(settings, folders)
    if id is not None and id not in registry:
        from difflib import get_close_matches

        near = get_close_matches(id, registry, n=5, cutoff=0.5)
        leave(NOT_FOUND, f"there is no node '{id}'" + (f"; did you mean {', '.join(near)}?" if near else ""))
    chosen = [registry[id]] if id is not None else [node_type for node_type in registry.values() if _matches(node_type, search.lower())]
    if as_json:
        typer.echo(json.dumps({node_type.id: describe(node_type, folders) for node_type in chosen}, indent=2, default=str))
    elif id is not None:
        _print_one(chosen[0], folders)
    else:
        _print_table(chosen)


def _matches(node_type: NodeType, text: str) -> bool:
    return any(text in part.lower() for part in (node_type.id, node_type.title, node_type.category, *node_type.aliases))


def _print_table(chosen: list[NodeType]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("id", "title", "category", box=None, pad_edge=False)
    for node_type in sorted(chosen, key=lambda node_type: (node_type.category, node_type.id)):
        table.add_row(node_type.id, node_type.title, node_type.category)
    Console(soft_wrap=True).print(table)


def _print_one(node_type: NodeType, folders: Folders) -> None:
    from marquetry.engine.registry import choices_of

    typer.echo(f"{node_type.title} ({node_type.id}), {node_type.category}")
    if node_type.description:
        typer.echo(f"\n{node_type.description}")
    typer.echo("\ninputs" if node_type.inputs else "\nno inputs")
    for declared in node_type.inputs:
        choices = choices_of(declared, folders)
        kind = (
            str(declared.type)
            if choices is None
            else "one of " + (", ".join(map(str, choices[:12])) + (", ..." if len(choices) > 12 else "") or "none")
        )
        default = f" = {declared.options['default']!r}" if "default" in declared.options else ""
        limits = f" [{declared.options['min']}..{declared.options['max']}]" if {"min", "max"} <= declared.options.keys() else ""
        typer.echo(f"  {declared.name}: {kind}{limits}{default}{'' if declared.required else ' (optional)'}")
    typer.echo("outputs" if node_type.outputs else "no outputs")
    for number, output in enumerate(node_type.outputs):
        typer.echo(f"  {number} {output.name}: {output.type}{' (list)' if output.is_list else ''}")
