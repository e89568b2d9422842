"""What is kept of a person can be told whole, and goes whole when they leave; other people's stays."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, inspect, select

from marquetry.server.jobs.live import now_ms
from marquetry.server.people_data import rooms
from marquetry.server.people_work import PEOPLE_WORK, SWEEP_MS
from marquetry.server.storage.people_requests import find_request
from marquetry.server.storage.room import STORAGE
from marquetry.server.storage.tables import blobs, files, people_requests
from tests.server.nodes import GATES, linked, whole
from tests.server.peer import Peer, served
from tests.server.storage.conftest import Room
from tests.server.test_files import form, picture

PERSONS = ("owner", "user_id", "creator", "buyer")


async def test_every_table_with_a_person_in_it_belongs_to_a_room(room: Room) -> None:
    def tables(connection: Connection) -> dict[str, set[str]]:
        seen = inspect(connection)
        return {name: {column["name"] for column in seen.get_columns(name)} for name in seen.get_table_names()}

    answered = frozenset().union(*(known.tables for known in rooms()))
    found = await room.storage.database.read(tables)
    forgotten = {name for name, columns in found.items() if not columns.isdisjoint(PERSONS)} - answered
    assert not forgotten, f"say in marquetry/server/people_data what becomes of these when somebody leaves: {sorted(forgotten)}"


async def person(peer: Peer, name: str) -> dict[str, str]:
    """Somebody new; the headers of their requests."""
    return {"comfy-user": await peer.json("POST", "/users", json={"username": name})}


async def finished(peer: Peer, prompt: dict[str, Any], headers: dict[str, str]) -> str:
    body = {"graph": prompt}
    answer = await peer.json("POST", "/api/v1/jobs", 200, json=body, headers={**headers, "Prefer": "wait=20"})
    assert answer["state"] == "completed"
    return str(answer["id"])


async def exported(peer: Peer, headers: dict[str, str], **wanted: Any) -> zipfile.ZipFile:
    asked = await peer.json("POST", "/api/v1/user/export", 202, json=wanted, headers=headers)
    async with asyncio.timeout(20):
        while (told := await peer.json("GET", f"/api/v1/user/export/{asked['id']}", headers=headers))["state"] in ("waiting", "running"):
            await asyncio.sleep(0.02)
    assert told["state"] == "done", told
    return zipfile.ZipFile(io.BytesIO(await peer.send("GET", told["download_url"])))


async def test_an_export_has_all_rows_of_the_caller_and_nobody_elses(tmp_path: Path) -> None:
    async with served(tmp_path / "data", multi_user=True) as peer:
        ada, bob = await person(peer, "ada"), await person(peer, "bob")
        job = await finished(peer, {"1": whole("Paint", seed=7)}, ada)
        await finished(peer, linked("Tell", text="of bob"), bob)
        stored = await peer.json("POST", "/api/v1/files", 201, data=form(picture(), field="file"), headers=ada)
        await peer.send("POST", "/userdata/note.json", data=b'{"a": 1}', headers=ada)
        archive = await exported(peer, ada, include_files=True)
        rows = {name: json.loads(archive.read(name)) for name in archive.namelist() if name.endswith(".json")}
        assert [row["id"] for row in rows["jobs/jobs.json"]] == [job]
        assert rows["jobs/jobs.json"][0]["graph"]["1"]["inputs"]["seed"] == 7
        assert {row["filename"] for row in rows["files/files.json"]} == {"photo.png", "red_7.png"}
        assert rows["user/note.json"] == {"a": 1}
        assert archive.read(f"stored/{stored['id']}/photo.png").startswith(b"\x89PNG")
        assert b"of bob" not in b"".join(archive.read(name) for name in archive.namelist())


async def test_an_export_is_for_its_owner_alone_and_made_once_at_a_time(tmp_path: Path) -> None:
    async with served(tmp_path / "data", multi_user=True) as peer:
        ada, bob = await person(peer, "ada"), await person(peer, "bob")
        asked = await asyncio.gather(*(peer.json("POST", "/api/v1/user/export", 202, headers=ada) for _ in range(3)))
        assert len({answer["id"] for answer in asked}) == 1
        await peer.json("GET", f"/api/v1/user/export/{asked[0]['id']}", 404, headers=bob)


async def test_on_a_server_with_one_user_everything_is_exported_and_nothing_erased(peer: Peer) -> None:
    await peer.done(await peer.submit({"1": whole("Paint")}))
    archive = await exported(peer, {})
    assert len(json.loads(archive.read("jobs/jobs.json"))) == 1 and not [name for name in archive.namelist() if name.startswith("stored/")]
    answer = await peer.json("DELETE", "/api/v1/user/account", 409, json={"confirm": "erase everything"})
    assert answer["error"]["code"] == "conflict"
    await peer.json("DELETE", "/api/v1/user/account", 400, json={"confirm": "yes"})


async def test_who_leaves_leaves_nothing_and_nobody_else_loses_anything(tmp_path: Path) -> None:
    async with served(tmp_path / "data", multi_user=True) as peer:
        ada, bob = await person(peer, "ada"), await person(peer, "bob")
        await finished(peer, {"1": whole("Paint", seed=7)}, ada)
        for headers, name in ((ada, "ada.png"), (bob, "bob.png")):
            await peer.json("POST", "/api/v1/files", 201, data=form(picture(), name, field="file"), headers=headers)
        await peer.send("POST", "/userdata/note.json", data=b"{}", headers=ada)
        waiting = await peer.json("POST", "/api/v1/jobs", 202, json={"graph": linked("Gate", name="leaving")}, headers=ada)
        asked = await peer.json("DELETE", "/api/v1/user/account", 202, json={"confirm": "erase everything"}, headers=ada)
        database = peer.jobs.database
        async with asyncio.timeout(20):
            while (request := await database.read(find_request, asked["id"], None)).state != "sweeping":
                await asyncio.sleep(0.02)
        GATES.pop("leaving", None)
        assert await peer.jobs.find(waiting["id"]) is None
        assert await peer.jobs.jobs(owner=ada["comfy-user"]) == ([], 0)
        assert not (peer.folders.user / ada["comfy-user"]).exists()
        await peer.json("GET", "/api/v1/files", 401, headers=ada)
        assert [file["filename"] for file in (await peer.json("GET", "/api/v1/files", headers=bob))["files"]] == ["bob.png"]
        assert not (peer.folders.output / "red_7.png").exists() and not (peer.folders.input / "ada.png").exists()
        assert (peer.folders.input / "bob.png").exists()
        owners = await database.read(lambda connection: set(connection.execute(select(files.c.owner)).scalars()))
        assert owners == {bob["comfy-user"]}
        assert len(await database.read(lambda connection: connection.execute(select(blobs.c.key)).all())) == 1
        await peer.application[PEOPLE_WORK].work(request, now_ms() + SWEEP_MS + 1)
        rows = await database.read(lambda connection: connection.execute(select(people_requests)).all())
        assert [(row.state, row.owner) for row in rows] == [("done", "(erased)")]
        assert ada["comfy-user"] not in (peer.folders.user / "users.json").read_text()


async def test_an_erasure_that_breaks_off_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(tmp_path / "data", multi_user=True) as peer:
        ada = await person(peer, "ada")
        await peer.json("POST", "/api/v1/files", 201, data=form(picture(), field="file"), headers=ada)
        work, store = peer.application[PEOPLE_WORK], peer.application[STORAGE].storage.store

        loop, broke_off = asyncio.get_running_loop(), asyncio.Event()

        def fail(*_: Any) -> None:
            loop.call_soon_threadsafe(broke_off.set)
            raise OSError("the power went")

        with monkeypatch.context() as broken:
            broken.setattr(store, "delete", fail)
            asked = await peer.json("DELETE", "/api/v1/user/account", 202, json={"confirm": "erase everything"}, headers=ada)
            await asyncio.wait_for(broke_off.wait(), 20)
        request = await peer.jobs.database.read(find_request, asked["id"], None)
        assert request.state == "running"
        await work.work(request)
        assert (await peer.jobs.database.read(find_request, asked["id"], None)).state == "sweeping"
        assert await peer.jobs.database.read(lambda connection: connection.execute(select(blobs.c.key)).all()) == []
