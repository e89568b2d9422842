"""Every command, as a person or a script calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from marquetry.engine.editor import from_api
from marquetry.engine.registry import Registry
from marquetry.server.command_line.comfy_flags import rewritten
from marquetry.server.command_line.program import program

GRAPH: dict[str, Any] = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 32, "height": 16, "batch_size": 1, "color": 255}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "blue"}, "_meta": {"title": "Keep"}},
}


class Called:
    """What a command printed, and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Call = Callable[..., Called]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setenv("MARQUETRY_DATA", str(tmp_path / "data"))

    def run(*arguments: Any, stdin: str | None = None) -> Called:
        result = CliRunner().invoke(program, [str(part) for part in arguments], input=stdin, obj={})
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Called(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    file = tmp_path / "graph.json"
    file.write_text(json.dumps(GRAPH))
    return file


def test_a_graph_runs_and_its_files_are_printed(call: Call, graph: Path, tmp_path: Path) -> None:
    called = call("run", graph, "--output", tmp_path / "out", "--set", "1.width=48", "--set", "Keep.filename_prefix=sub/red")
    assert (called.code, called.out.splitlines()) == (0, [str(tmp_path / "out" / "sub" / "red_00001_.png")])
    with Image.open(called.out.strip()) as picture:
        assert picture.size == (48, 16)


def test_a_saved_picture_is_a_graph_that_runs_again(call: Call, graph: Path) -> None:
    first = call("run", graph, "--json").json
    assert first["status"] == "completed"
    again = call("run", first["files"][0], "--json", "--set", "SaveImage.filename_prefix=again").json
    assert Path(again["files"][0]).name == "again_00001_.png"


def test_the_editors_format_and_the_standard_input_are_read(call: Call, graph: Path) -> None:
    import marquetry.nodes

    registry = Registry()
    registry.scan(marquetry.nodes)
    called = call("run", "-", "--json", stdin=json.dumps(from_api(GRAPH, registry)))
    assert called.code == 0
    assert Path(called.json["files"][0]).name == "blue_00001_.png"


def test_every_problem_of_a_graph_is_printed(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_text(json.dumps({
        "1": {"class_type": "EmptyImage", "inputs": {"width": -3, "height": "tall", "batch_size": 1, "color": 0}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["9", 0], "filename_prefix": "x"}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }))  # fmt: skip
    called = call("validate", file)
    assert called.code == 3
    assert "node 1" in called.err and "node 2" in called.err
    listed = call("validate", file, "--json").json["problems"]
    assert {(problem["node_id"], problem["type"]) for problem in listed} == {
        ("1", "value_smaller_than_min"), ("1", "invalid_input_type"), ("2", "bad_linked_input"),
    }  # fmt: skip
    assert call("run", file).code == 3


def test_a_good_graph_is_called_good(call: Call, graph: Path) -> None:
    assert call("validate", graph).code == 0
    assert call("validate", graph, "--json").json == {"ok": True, "problems": []}


def test_a_run_that_fails_ends_with_one_and_says_where(call: Call, graph: Path, tmp_path: Path) -> None:
    packs = tmp_path / "data" / "custom_nodes"
    packs.mkdir(parents=True)
    (packs / "fails.py").write_text("""
class Fails:
    @classmethod
    def INPUT_TYPES(s):
        return {"required": {}}
    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "go"
    def go(self):
        raise ValueError("no luck today")
NODE_CLASS_MAPPINGS = {"Fails": Fails}
""")
    graph.write_text(json.dumps({"7": {"class_type": "Fails", "inputs": {}}}))
    called = call("run", graph)
    assert called.code == 1
    assert "no luck today" in called.err and "node 7" in called.err
    assert call("run", graph, "--disable-all-custom-nodes").code == 3


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["run", "absent.json"], 4),
        (["validate", "absent.json"], 4),
        (["nodes", "NoSuchNode"], 4),
        (["models", "show", "absent.safetensors"], 4),
        (["models", "list", "--kind", "nothing"], 4),
        (["run"], 2),
        (["serve", "--port", "99999"], 2),
        (["serve", "--no-such-flag"], 2),
        (["bench", "nothing"], 4),
    ],
)
def test_exit_codes_say_what_went_wrong(arguments: list[str], code: int, call: Call) -> None:
    called = call(*arguments)
    assert (called.code, called.out) == (code, "")


@pytest.mark.parametrize(
    ("setting", "said"), [("9.width=3", "EmptyImage"), ("width=3", "NODE.INPUT=VALUE"), ("1.width", "NODE.INPUT=VALUE")]
)
def test_a_setting_that_can_not_be_applied_is_wrong_usage(setting: str, said: str, call: Call, graph: Path) -> None:
    called = call("run", graph, "--set", setting)
    assert called.code == 2
    assert said in called.err


def test_a_file_that_is_no_graph_is_an_invalid_graph(call: Call, tmp_path: Path) -> None:
    for text in ("[1, 2]", "{", '{"hello": 1}'):
        (tmp_path / "x.json").write_text(text)
        assert call("validate", tmp_path / "x.json").code == 3


def test_nodes_are_listed_and_described(call: Call) -> None:
    assert "EmptyImage" in call("nodes", "--search", "empty").out
    assert "KSampler" not in call("nodes", "--search", "empty").out
    described = call("nodes", "EmptyImage")
    assert "width: INT" in described.out and "0 IMAGE: IMAGE" in described.out
    assert call("nodes", "EmptyImage", "--json").json["EmptyImage"]["output"] == ["IMAGE"]


def test_models_are_listed_shown_and_verified(call: Call, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    loras = tmp_path / "data" / "models" / "loras"
    loras.mkdir(parents=True)
    save_file({"weight": torch.zeros(2, 3)}, loras / "small.safetensors")
    (loras / "broken.safetensors").write_bytes(b"nothing")
    listed = call("models", "list", "--kind", "loras", "--json").json
    assert listed == [{"kind": "loras", "name": "broken.safetensors"}, {"kind": "loras", "name": "small.safetensors"}]
    shown = call("models", "show", "small.safetensors", "--json").json
    assert (shown["parameters"], len(shown["sha256"])) == (6, 64)
    assert call("models", "verify", "small.safetensors").code == 0
    verified = call("models", "verify", "--kind", "loras")
    assert verified.code == 1
    assert "small.safetensors: ok" in verified.out


def test_the_configuration_is_printed_with_secrets_hidden(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARQUETRY_HUGGINGFACE_TOKEN", "hf_hush")
    monkeypatch.setenv("MARQUETRY_PORT", "9001")
    for format in ("text", "json", "yaml"):
        called = call("config", "--format", format)
        assert called.code == 0 and "hf_hush" not in called.out and "9001" in called.out
    assert "limits.graph_nodes = " in call("config").out


def test_comfyuis_way_of_writing_flags_is_understood() -> None:
    written, ignored = rewritten(
        [
            "--listen",
            "--port",
            "9",
            "--lowvram",
            "--extra-model-paths-config",
            "a.yaml",
            "b.yaml",
            "--fast",
            "fp16",
            "--enable-cors-header",
            "--verbose",
            "--cpu",
        ]
    )
    assert written == [
        "--listen", "0.0.0.0", "--port", "9", "--extra-model-paths-config", "a.yaml", "--extra-model-paths-config", "b.yaml",
        "--enable-cors-header", "*", "--verbose", "DEBUG", "--cpu",
    ]  # fmt: skip
    assert ignored == ["--lowvram", "--fast"]
    assert rewritten(["--listen", "1.2.3.4"]) == (["--listen", "1.2.3.4"], [])


@pytest.mark.parametrize(
    "command",
    [[], ["serve"], ["run"], ["validate"], ["nodes"], ["models"], ["models", "add"], ["config"], ["bench"], ["train"], ["version"]],
)
def test_help_is_there_for_every_command_and_tells_the_exit_codes(command: list[str], call: Call) -> None:
    called = call(*command, "--help")
    assert called.code == 0
    assert "Usage" in called.out


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom marquetry.server.command_line import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'pydantic', 'aiohttp', 'numpy', 'sqlalchemy', 'marquetry.nodes'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"
