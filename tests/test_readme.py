"""What the README says a newcomer can do is done here, with the README's own words."""

from __future__ import annotations

import asyncio
import re
import sys
import types
from pathlib import Path

import pytest
import torch

from marquetry.engine.declare import node_type
from marquetry.server.http.routes import find_tables
from tests.checkpoints import header_of, networks, original_checkpoint
from tests.engine.execution.workshop import Workshop, n
from tests.server.peer import served

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = {match[1]: match[2] for match in re.finditer(r"```python\n# (\S+)\n(.*?)```", README, re.DOTALL)}


def load(path: str) -> types.ModuleType:
    """The block of the README that belongs into a file, as that module."""
    name = path.removesuffix(".py").replace("/", ".")
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile("from __future__ import annotations\n" + BLOCKS[path], path, "exec"), module.__dict__)
    return module


def test_each_addition_is_one_file_of_about_ten_lines() -> None:
    assert sorted(BLOCKS) == [
        "marquetry/engine/models/families/sd1_four_heads.py",
        "marquetry/nodes/posterize.py",
        "marquetry/server/api/hello.py",
    ]
    assert all(len([line for line in block.splitlines() if line.strip()]) <= 14 for block in BLOCKS.values())


def test_the_node_runs_in_a_graph(tmp_path: Path) -> None:
    module = load("marquetry/nodes/posterize.py")
    shop = Workshop(tmp_path)
    shop.registry.add(node_type(module.posterize))
    shop.type("Picture", lambda: (torch.tensor([[[[0.1, 0.5, 0.9]]]]),), outputs=["IMAGE"])
    ended = shop.run({"1": n("Picture"), "2": n("Posterize", image=["1", 0], levels=2), "3": n("Show", value=["2", 0])})
    assert ended.seen("3")[0].flatten().tolist() == pytest.approx([0.0, 0.0, 1.0])
    shop.close()


def test_the_family_recognises_files(tmp_path: Path) -> None:
    family = load("marquetry/engine/models/families/sd1_four_heads.py").FAMILY
    found = family.recognise(header_of(original_checkpoint(networks("sd1"))), {})
    assert found is not None and found.family == "sd1_four_heads"
    assert found.denoiser is not None and found.denoiser.config["attention_head_dim"] == 4


def test_the_route_answers_and_stands_in_the_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import marquetry.server.app as app

    module = load("marquetry/server/api/hello.py")
    monkeypatch.setattr(app, "find_tables", lambda *packages: (*find_tables(*packages), module.routes))

    async def ask() -> tuple[object, dict[str, object]]:
        async with served(tmp_path) as peer:
            greeting = await peer.json("GET", "/api/v1/hello/Ada")
            document = await peer.json("GET", "/api/openapi.json")
            return greeting, document["paths"]

    greeting, paths = asyncio.run(ask())
    assert greeting == {"words": "Hello, Ada"}
    assert "/api/v1/hello/{name}" in paths


def test_the_commands_of_the_readme_exist() -> None:
    makefile = (Path(__file__).parent.parent / "Makefile").read_text()
    for command in re.findall(r"make (\w+)", README):
        assert re.search(rf"^{command}:", makefile, re.MULTILINE), command
    for path in re.findall(r"(?:docs|marquetry)/[\w/.-]+\.(?:png|json|md)", README):
        assert (Path(__file__).parent.parent / path).exists(), path
