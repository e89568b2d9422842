"""`marquetry storage clean`, as a person runs it beside or without a server."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from marquetry.server.command_line.program import program
from marquetry.server.storage.blob_store import blob_name
from marquetry.server.storage.folder_store import FolderStore


def test_a_dry_run_says_what_cleaning_then_does(tmp_path: Path) -> None:
    source = tmp_path / "orphan"
    source.write_bytes(b"orphan")
    store = FolderStore(tmp_path / "data" / "storage")
    store.put(blob_name("ab" * 32), source)
    (tmp_path / "data" / "marquetry.yaml").write_text("storage: {orphan_minutes: 0}")
    data = ["--data", str(tmp_path / "data")]
    told = CliRunner().invoke(program, ["storage", "clean", "--dry-run", *data])
    assert told.exit_code == 0 and "orphans: 1" in told.output and "orphan bytes: 6" in told.output
    assert store.size_bytes(blob_name("ab" * 32)) == 6
    done = CliRunner().invoke(program, ["storage", "clean", "--json", *data])
    assert done.exit_code == 0 and json.loads(done.output)["orphans"] == 1
    assert store.size_bytes(blob_name("ab" * 32)) is None


def test_a_store_that_is_not_set_up_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "marquetry.yaml").write_text("storage: {store: s3}")
    told = CliRunner().invoke(program, ["storage", "clean", "--data", str(tmp_path)])
    assert told.exit_code == 1 and "storage.s3.bucket" in told.output
