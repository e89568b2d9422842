"""The development profile: a server that starts anew when sources change, and mocks of outside services."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from marquetry.engine.folders import Folders
from marquetry.engine.models.builtin import BUILTIN_FOLDER
from marquetry.engine.models.download import add_model
from marquetry.engine.models.sources import Sites
from marquetry.engine.models.store import ModelStore
from marquetry.server.errors import SettingsError
from marquetry.server.mocks import served
from marquetry.server.settings import Settings

BUILTIN = BUILTIN_FOLDER / "marquetry-mini.safetensors"
PATIENCE_S = 120.0
PACK = """
class Greeting:
    RETURN_TYPES = ("STRING",)
    FUNCTION = "go"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def go(self):
        return ("hello",)

NODE_CLASS_MAPPINGS = {"NAME": Greeting}
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    pack = tmp_path / "custom_nodes" / "greeting.py"
    pack.parent.mkdir()
    pack.write_text(PACK.replace("NAME", "First"))
    command = [
        sys.executable,
        "-u",
        "-m",
        "marquetry",
        "serve",
        "--environment",
        "development",
        "--cpu",
        "--port",
        "0",
        "--data",
        str(tmp_path),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True)
    yield process
    os.killpg(process.pid, signal.SIGTERM)  # SIGINT is not heard where it was ignored at the start, as in a script's background
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        assert process.stdout is not None
        process.stdout.close()


def address_of(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    for line in server.stdout:
        found = re.search(r"listens on (http\S+)", line)
        if found:
            return found[1]
    raise AssertionError("the server ended")


def knows(address: str, node: str) -> bool:
    """Whether the node is described, once packs are loaded."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{address}/object_info") as answer:
            described = json.load(answer)
        if node in described:
            return True
        time.sleep(0.1)
    return False


def test_a_changed_node_pack_is_there_without_anybody_starting_the_server_again(server: subprocess.Popen[str], tmp_path: Path) -> None:
    address = address_of(server)
    assert knows(address, "First")
    (tmp_path / "custom_nodes" / "greeting.py").write_text(PACK.replace("NAME", "Second"))
    address = address_of(server)
    assert knows(address, "Second")


def test_mock_services_are_refused_outside_of_development(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="mock_services"):
        Settings.read(data=tmp_path, mock_services=True)
    assert Settings.read(data=tmp_path, mock_services=True, environment="development").mock_services


def test_only_development_starts_anew_by_itself(tmp_path: Path) -> None:
    profiles = {name: Settings.read(data=tmp_path, environment=name).reloads for name in ("development", "staging", "production")}
    assert profiles == {"development": True, "staging": False, "production": False}
    assert not Settings.read(data=tmp_path, environment="development", reload=False).reloads


@pytest.mark.parametrize("source", ["huggingface:marquetry/mini/marquetry-mini.safetensors", "civitai:1"])
async def test_the_mocks_give_the_built_in_model_as_the_sites_would(source: str, tmp_path: Path) -> None:
    async with served(tmp_path / "mocks") as environment:
        added = await add_model(ModelStore(Folders(tmp_path)), source, kind="checkpoints", sites=Sites.from_environment(environment))
    assert hashlib.sha256(added.path.read_bytes()).digest() == hashlib.sha256(BUILTIN.read_bytes()).digest()


async def test_the_mocks_serve_nothing_outside_of_their_folder(tmp_path: Path) -> None:
    import aiohttp

    (tmp_path / "secret").write_text("secret")
    async with served(tmp_path / "mocks") as environment, aiohttp.ClientSession() as session:
        address = f"{environment['HF_ENDPOINT']}/owner/name/resolve/main/..%2f..%2f..%2f..%2fsecret"
        async with session.get(address) as answer:
            assert answer.status == 404
