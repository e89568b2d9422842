"""Where settings come from, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from marquetry.server.data_folders import folders_of
from marquetry.server.errors import SettingsError
from marquetry.server.settings import Settings


@pytest.fixture(autouse=True)
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MARQUETRY_DATA", str(tmp_path))
    return tmp_path


def test_the_command_line_outweighs_the_file_and_the_file_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PORT": "1",
        "WORKER_COUNT": "1",
        "PREVIEW_SIZE": "128",
        "LIMITS__BODY_BYTES": "7",
        "LIMITS__GRAPH_NODES": "7",
    }.items():
        monkeypatch.setenv(f"MARQUETRY_{name}", value)
    (tmp_path / "marquetry.yaml").write_text("port: 2\nworker_count: 2\nlimits:\n  body_bytes: 8\n  upload_bytes: 8\n")
    settings = Settings.read(port=3, limits={"upload_bytes": 9}, worker_count=None)
    assert (settings.port, settings.worker_count, settings.preview_size) == (3, 2, 128)
    assert (settings.limits.upload_bytes, settings.limits.body_bytes, settings.limits.graph_nodes) == (9, 8, 7)
    assert settings.data == tmp_path


def test_a_named_file_is_read_instead_of_the_one_in_the_data_folder(tmp_path: Path) -> None:
    (tmp_path / "marquetry.yaml").write_text("port: 2\n")
    named = tmp_path / "other.yaml"
    named.write_text("worker_count: 5\n")
    settings = Settings.read(named)
    assert (settings.port, settings.worker_count) == (8188, 5)


@pytest.mark.parametrize(
    ("given", "text", "named"),
    [
        ({"port": 70000}, "", "port"),
        ({}, "prot: 3\n", "prot"),
        ({}, "limits:\n  body_bytes: -1\n", "limits.body_bytes"),
        ({}, "- a list\n", "names and values"),
        ({}, "a: [\n", "can't be read"),
        ({"workers": "cloud"}, "", "workers"),
    ],
)
def test_wrong_values_are_named(given: dict[str, Any], text: str, named: str, tmp_path: Path) -> None:
    (tmp_path / "marquetry.yaml").write_text(text)
    with pytest.raises(SettingsError, match=named):
        Settings.read(**given)


def test_an_address_beyond_this_machine_needs_permission() -> None:
    for host in ("0.0.0.0", "192.168.1.4", "::", "example.org"):
        with pytest.raises(SettingsError, match="--listen"):
            Settings.read(host=host)
        with pytest.raises(SettingsError, match="MARQUETRY_ACCOUNTS__ENABLED"):
            Settings.read(host=host)
        assert Settings.read(host=host, listen=True).reachable_from_elsewhere
        assert Settings.read(host=host, accounts={"enabled": True}).reachable_from_elsewhere
    assert not Settings.read(host="localhost").reachable_from_elsewhere
    assert not Settings.read(host="127.0.0.1,::1").reachable_from_elsewhere


def test_a_database_elsewhere_is_reached_encrypted_in_production() -> None:
    for url in ("postgresql://db.example.org/x", "postgresql://db.example.org/x?sslmode=prefer"):
        with pytest.raises(SettingsError, match="sslmode"):
            Settings.read(database_url=url, environment="production")
        assert Settings.read(database_url=url, environment="staging").database == url
    for url in ("postgresql://db.example.org/x?sslmode=verify-full", "postgresql://127.0.0.1/x", "postgresql:///x?host=/run/postgresql"):
        assert Settings.read(database_url=url, environment="production").database == url


def test_secrets_are_hidden_when_settings_are_shown() -> None:
    settings = Settings.read(database_url="postgresql://me:hush@host/db?sslmode=require", civitai_token="hush-token")
    assert "hush" not in json.dumps(settings.shown())
    assert settings.database == "postgresql://me:hush@host/db?sslmode=require"


def test_the_machine_decides_how_much_is_cached_unless_told() -> None:
    assert Settings.read().cache_memory_bytes > 2**20
    assert Settings.read(cache_memory_bytes=0).cache_memory_bytes == 0


def test_folders_stand_in_the_data_folder_unless_told(tmp_path: Path) -> None:
    folders = folders_of(Settings.read(output_directory=tmp_path / "elsewhere"))
    assert folders.input == tmp_path / "input"
    assert folders.output == tmp_path / "elsewhere"


def test_extra_model_paths_are_understood_as_comfyui_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELF", str(tmp_path / "shelf"))
    file = tmp_path / "config" / "extra.yaml"
    file.parent.mkdir()
    file.write_text("""
a111:
    base_path: $SHELF
    is_default: true
    checkpoints: models/Stable-diffusion
    loras: |
        models/Lora

        models/LyCORIS
    unet: flux
plain:
    vae: ../vae
    custom_nodes: packs
    my_kind: /absolute/place
empty:
""")
    folders = folders_of(Settings.read(extra_model_paths=[file]))
    shelf = tmp_path / "shelf"
    assert folders.model_folders("checkpoints")[0] == shelf / "models/Stable-diffusion"
    assert set(folders.model_folders("loras")[:2]) == {shelf / "models/Lora", shelf / "models/LyCORIS"}
    assert shelf / "flux" in folders.model_folders("diffusion_models")
    assert folders.model_folders("vae")[-1] == tmp_path / "vae"
    assert folders.model_folders("my_kind") == [Path("/absolute/place")]
    assert folders.custom_nodes == [tmp_path / "custom_nodes", file.parent / "packs"]


@pytest.mark.parametrize("text", ["[1, 2]", "a: 3", "a: ["])
def test_a_file_of_extra_paths_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "extra_model_paths.yaml").write_text(text)
    with pytest.raises(SettingsError):
        folders_of(Settings.read())
