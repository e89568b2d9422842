"""Rows and bytes agree: content is kept once, counted, and gone with its last file, whatever breaks off in between."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, update

from marquetry.server.storage import blobs
from marquetry.server.storage.blob_store import BLOBS, blob_name
from marquetry.server.storage.errors import BlobGone, FileMissing, StorageFull
from marquetry.server.storage.files import Deletion, FileFilter, list_files, usage_of
from marquetry.server.storage.plans import DAY_MS, StoragePlan
from marquetry.server.storage.storage import claim_blob, delete_files, forget_blobs
from marquetry.server.storage.tables import blobs as blob_rows
from marquetry.server.storage.tables import files as file_rows
from tests.server.storage.conftest import Room


def count(connection: Connection, table: Any) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


async def stored(room: Room) -> int:
    return len(await room.storage.run(room.storage.store.listed, BLOBS, "", 100))


async def test_the_same_bytes_are_kept_once_and_go_with_their_last_file(room: Room) -> None:
    first, second = await room.keep(b"same"), await room.keep(b"same", owner="bob", name="other.txt")
    assert first.sha256 == second.sha256 == hashlib.sha256(b"same").hexdigest() and first.blob_key == second.blob_key
    assert await stored(room) == 1
    await room.storage.delete(first.id, "ada")
    assert room.read(second) == b"same"
    await room.storage.delete(second.id, "bob")
    assert await stored(room) == 0 and await room.storage.database.read(count, blob_rows) == 0


async def test_what_others_have_makes_no_difference_to_who_keeps_the_same(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    put = room.storage.store.put

    def noted(name: str, *more: Any, **how: Any) -> None:
        written.append(name)
        put(name, *more, **how)

    monkeypatch.setattr(room.storage.store, "put", noted)
    for owner in ("ada", "bob", "ada"):
        await room.keep(b"same", owner=owner)
    assert len(written) == 2  # once for each owner: by the time that it takes, nobody can tell who else has it


async def test_files_are_found_by_their_owner_alone(room: Room) -> None:
    file = await room.keep(b"mine")
    assert await room.storage.find(file.id, "ada") == file == await room.storage.find(file.id, None)
    for attempt in (room.storage.find(file.id, "bob"), room.storage.delete(file.id, "bob"), room.storage.find("file_x", "ada")):
        with pytest.raises(FileMissing):
            await attempt
    assert room.read(file) == b"mine"


async def test_pages_are_newest_first_and_know_kind_purpose_and_job(room: Room) -> None:
    kept = [await room.keep(f"text {place}".encode(), now_ms=1_000 + place) for place in range(5)]
    made = await room.keep(b"made", purpose="output", job_id="job", folder="output", path="x.txt", now_ms=2_000)
    await room.keep(b"other", owner="bob")

    async def found(limit: int = 50, offset: int = 0, **wanted: Any) -> tuple[list[str], int]:
        files, total = await room.storage.database.read(list_files, FileFilter("ada", **wanted), limit, offset)
        return [file.id for file in files], total

    assert await found() == ([made.id, *(file.id for file in reversed(kept))], 6)
    assert await found(2, 1) == ([kept[4].id, kept[3].id], 6)
    assert await found(made=True) == ([made.id], 1) == await found(job_id="job") == await found(purpose="output")
    assert (await found(kind="text"))[1] == 6 and (await found(kind="image"))[1] == 0


async def test_a_full_plan_refuses_files_but_not_results(room: Room) -> None:
    room.plans.plans["ada"] = StoragePlan(quota_bytes=10)
    first = await room.keep(b"12345678")
    with pytest.raises(StorageFull):
        await room.keep(b"123")
    await room.keep(b"12")
    await room.keep(b"result of a job", bounded=False)
    await room.keep(b"123456789012", owner="bob")
    usage = await room.storage.database.read(usage_of, "ada", room.plans)
    assert (usage.bytes, usage.files) == (25, 3)
    await room.storage.delete(first.id, "ada")
    usage = await room.storage.database.read(usage_of, "ada", room.plans)
    assert (usage.bytes, usage.files) == (17, 2)


async def test_of_many_at_once_no_more_are_kept_than_the_plan_allows(room: Room) -> None:
    room.plans.plans["ada"] = StoragePlan(quota_bytes=10)
    outcomes = await asyncio.gather(*(room.keep(f"{place:05}".encode()) for place in range(6)), return_exceptions=True)
    assert sum(isinstance(outcome, StorageFull) for outcome in outcomes) == 4
    assert (await room.storage.database.read(usage_of, "ada", room.plans)).bytes == 10


async def test_a_file_expires_when_the_plan_says_unless_it_was_said_before(room: Room) -> None:
    room.plans.plans["ada"] = StoragePlan(retention_days=30)
    assert (await room.keep(b"by plan")).expires_ms == 1_000 + 30 * DAY_MS
    assert (await room.keep(b"said", expires_ms=5_000)).expires_ms == 5_000
    assert (await room.keep(b"no plan", owner="bob")).expires_ms is None


async def test_a_result_that_is_recorded_twice_is_one_file(room: Room) -> None:
    place: dict[str, Any] = {"job_id": "job", "folder": "output", "path": "x.txt"}
    assert await room.keep(b"result", **place) == await room.keep(b"result", now_ms=9_000, **place)
    assert (await room.storage.database.read(usage_of, "ada", room.plans)).files == 1


async def test_a_file_kept_while_the_same_bytes_are_deleted_has_bytes_of_its_own(room: Room) -> None:
    old = await room.keep(b"same")
    claim = blobs.Claim("ada", old.sha256, 4, 2_000)
    claimed = await room.storage.database.write(claim_blob, claim)
    assert claimed == blobs.Claimed(old.blob_key, known=True)
    await room.storage.remove([old.id], None)
    new = await room.keep(b"same", now_ms=3_000)
    assert room.read(new) == b"same"


async def test_whoever_claimed_bytes_that_are_condemned_meanwhile_claims_anew(room: Room) -> None:
    old = await room.keep(b"same")
    deleted = await room.storage.database.write(delete_files, Deletion((old.id,), None))
    assert deleted.blob_keys == (old.blob_key,)
    new = await room.keep(b"same", now_ms=3_000)
    assert new.blob_key != old.blob_key and new.blob_key.startswith(old.sha256)
    await room.storage.delete_bytes([old.blob_key])
    assert room.read(new) == b"same"


async def test_a_row_is_never_added_to_bytes_that_are_being_deleted(room: Room) -> None:
    file = await room.keep(b"same")
    await room.storage.remove([file.id], None)
    await room.storage.database.write(claim_blob, blobs.Claim("ada", file.sha256, 4, 2_000))
    await room.storage.database.write(condemn_now, file.sha256)
    with pytest.raises(BlobGone):
        await room.storage.database.write(confirm_now, file.sha256)
    assert await room.storage.database.write(forget_blobs, (file.sha256,)) == 1


async def test_a_crash_before_the_bytes_are_written_leaves_no_file(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(room.storage.store, "put", fail)
        with pytest.raises(OSError, match="the power went"):
            await room.keep(b"lost")
    assert await room.storage.database.read(count, file_rows) == 0
    report = await room.cleaning.run(1_000 + DAY_MS)
    assert report.blobs == 1 and await room.storage.database.read(count, blob_rows) == 0


async def test_a_crash_between_bytes_and_row_leaves_no_file_and_the_bytes_are_found(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr("marquetry.server.storage.storage.add_file", break_off)
        with pytest.raises(OSError, match="the power went"):
            await room.keep(b"orphan")
    assert await room.storage.database.read(count, file_rows) == 0 and await stored(room) == 1
    assert (await room.cleaning.run(2_000)).blobs == 0  # somebody may be about to add the row
    report = await room.cleaning.run(1_000 + DAY_MS)
    assert (report.blobs, report.blob_bytes) == (1, 6) and await stored(room) == 0


async def test_a_crash_while_bytes_are_deleted_is_made_good(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    file = await room.keep(b"going")
    with monkeypatch.context() as broken:
        broken.setattr(room.storage.store, "delete", fail)
        with pytest.raises(OSError, match="the power went"):
            await room.storage.delete(file.id, "ada")
    assert await room.storage.database.read(count, file_rows) == 0 and await stored(room) == 1
    assert (await room.cleaning.run(2_000)).blobs == 1
    assert await stored(room) == 0 and await room.storage.database.read(count, blob_rows) == 0


async def test_bytes_that_vanished_are_written_again_by_the_next_who_has_them(room: Room) -> None:
    first = await room.keep(b"same")
    await room.storage.run(room.storage.store.delete, [blob_name(first.blob_key)])
    second = await room.keep(b"same")
    assert room.read(second) == b"same"


def fail(*args: Any, **more: Any) -> None:
    raise OSError("the power went")


def break_off(connection: Connection, arguments: Any) -> Any:
    raise OSError("the power went")


def condemn_now(connection: Connection, keys: Any) -> list[int]:
    return [connection.execute(update(blob_rows).where(blob_rows.c.key == key).values(state="deleting")).rowcount for key in keys]


def confirm_now(connection: Connection, keys: Any) -> list[None]:
    for key in keys:
        blobs.confirm_blob(connection, key, 3_000)
    return [None for _ in keys]
