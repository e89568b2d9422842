"""`marquetry users`: what the operator does with accounts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from marquetry.server.command_line.program import program
from tests.server.people import PASSWORD, log_in, with_accounts


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def run(data: Path, *arguments: str, code: int = 0, typed: str = "") -> str:
    done = CliRunner().invoke(program, ["users", *arguments, "--data", str(data)], input=typed)
    assert done.exit_code == code, (done.output, done.exception)
    return done.output


def test_the_operator_adds_lists_and_changes_accounts(data: Path) -> None:
    assert "admin, user" in run(data, "add", "ann@example.org", "--name", "Ann", "--password", PASSWORD)
    run(data, "add", "bob@example.org", "--role", "creator", typed=f"{PASSWORD}\n{PASSWORD}\n")
    entries = {entry["email"]: entry for entry in json.loads(run(data, "list", "--json"))}
    assert entries["ann@example.org"]["roles"] == ["admin", "user"] and entries["bob@example.org"]["roles"] == ["creator", "user"]
    assert "bob" in run(data, "list", "BOB") and "ann" not in run(data, "list", "bob")
    assert "moderator, user" in run(data, "set-role", "bob@example.org", "moderator")


def test_what_is_wrong_is_told_with_an_exit_code(data: Path) -> None:
    run(data, "add", "ann@example.org", "--password", PASSWORD)
    run(data, "add", "ANN@example.org", "--password", PASSWORD, code=1)
    run(data, "add", "bob@example.org", "--password", "weak", code=1)
    run(data, "set-role", "nobody@example.org", "admin", code=4)
    run(data, "set-role", "ann@example.org", "root", code=1)


async def test_a_new_password_opens_locks_and_a_new_key_leaves_sessions_as_they_are(data: Path) -> None:
    import asyncio

    await asyncio.to_thread(run, data, "add", "ann@example.org", "--password", PASSWORD)
    async with with_accounts(data) as peer:
        tokens = await log_in(peer, "ann@example.org")
        assert "2 keys are known" in await asyncio.to_thread(run, data, "rotate-keys")
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        await peer.json("GET", "/auth/me", headers=headers)
        for _ in range(5):
            await log_in(peer, "ann@example.org", "wrong", 401)
        await log_in(peer, "ann@example.org", status=429)
        await asyncio.to_thread(
            run, data, "reset-password", "ann@example.org", "--password", "another Crane 8 bends", "--remove-second-factor"
        )
        await log_in(peer, "ann@example.org", "another Crane 8 bends")
