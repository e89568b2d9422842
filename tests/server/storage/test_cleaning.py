"""Cleaning deletes what has expired and what belongs to nothing, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import insert, select

from marquetry.server.database.database import one_by_one
from marquetry.server.database.tables import job_graphs, jobs
from marquetry.server.jobs.live import now_ms
from marquetry.server.storage.blob_store import ARCHIVES, BLOBS, BlobStore, blob_name
from marquetry.server.storage.errors import FileMissing
from marquetry.server.storage.job_archive import place_of, unpacked
from marquetry.server.storage.local_copies import Copy, note_copy, restore
from marquetry.server.storage.parts import PartUpload, new_upload_id
from marquetry.server.storage.plans import DAY_MS, StoragePlan
from marquetry.server.storage.tables import files, job_archives
from tests.server.storage.conftest import Room, room_of
from tests.server.test_files import picture


async def add_job(
    room: Room, id: str, *, state: str = "completed", owner: str = "ada", finished_ms: int | None = 1, text: str = ""
) -> None:
    row = {
        "id": id, "owner": owner, "client_id": "", "client": owner, "state": state, "priority": 0, "number": 0.0, "turn": 1, "affinity": "",
        "passed": 0, "created_ms": 1, "finished_ms": finished_ms, "attempts": 1, "set_aside": False, "cancel_requested": False,
        "outputs": b"[]",
    }  # fmt: skip
    graph = orjson.dumps({"1": {"class_type": "LoadImage", "inputs": {"image": text}}})

    def write(connection: Any, _: None) -> None:
        connection.execute(insert(jobs).values(**row))
        connection.execute(insert(job_graphs).values(job_id=id, graph=graph, extra=b"{}"))

    await room.storage.database.write(one_by_one(write), None)


async def job_ids(room: Room) -> list[str]:
    return await room.storage.database.read(lambda connection: list(connection.execute(select(jobs.c.id).order_by(jobs.c.id)).scalars()))


async def names(room: Room, prefix: str = BLOBS) -> list[str]:
    return [found.name for found in await room.storage.run(room.storage.store.listed, prefix, "", 100)]


async def test_files_go_when_their_plan_says_and_not_before(room: Room) -> None:
    room.plans.plans = {"ada": StoragePlan(retention_days=30), "bob": StoragePlan(retention_days=90)}
    short, long, ever = await room.keep(b"a"), await room.keep(b"b", owner="bob"), await room.keep(b"c", owner="eve")
    assert (await room.cleaning.run(30 * DAY_MS)).files == 0
    report = await room.cleaning.run(31 * DAY_MS)
    assert (report.files, report.file_bytes, report.failed) == (1, 1, [])
    with pytest.raises(FileMissing):
        await room.storage.find(short.id, "ada")
    assert await names(room) == sorted([long.blob, ever.blob])
    assert (await room.cleaning.run(91 * DAY_MS)).files == 1
    assert await names(room) == [ever.blob]


async def test_a_dry_run_tells_the_same_and_touches_nothing(room: Room) -> None:
    room.plans.plans["ada"] = StoragePlan(retention_days=1)
    for place in range(3):
        await room.keep(f"{place}".encode())
    orphan = room.storage.scratch()
    orphan.write_bytes(b"orphan")
    await room.storage.run(room.storage.store.put, blob_name("ee" * 32), orphan, share=True)
    before, when = await names(room), now_ms() + DAY_MS
    tried = await room.cleaning.run(when, dry_run=True)
    assert await names(room) == before
    done = await room.cleaning.run(when)
    assert (tried.files, tried.file_bytes, tried.orphans, tried.orphan_bytes) == (3, 3, 1, 6)
    assert (done.files, done.file_bytes, done.orphans, done.orphan_bytes) == (3, 3, 1, 6)
    assert await names(room) == []


async def test_what_a_live_job_reads_stays_until_the_job_has_ended(room: Room) -> None:
    room.plans.plans = {"ada": StoragePlan(retention_days=1), "bob": StoragePlan(retention_days=1)}
    await room.keep(b"needed", folder="input", path="sub/needed.png")
    await room.keep(b"another", folder="input", path="another.png")
    await room.keep(b"of bob", owner="bob", folder="input", path="sub/needed.png")
    await add_job(room, "live", state="queued", finished_ms=None, text="sub/needed.png [input]")
    await add_job(room, "done", text="another.png")
    report = await room.cleaning.run(2 * DAY_MS)
    assert (report.files, report.needed) == (2, 1)
    left = await room.storage.database.read(lambda connection: connection.execute(select(files.c.path, files.c.owner)).all())
    assert [tuple(row) for row in left] == [("sub/needed.png", "ada")]


async def test_bytes_that_no_row_knows_are_deleted_once_they_are_old(room: Room) -> None:
    kept = await room.keep(b"kept")
    source = room.storage.scratch()
    source.write_bytes(b"orphan")
    for name in (blob_name("aa" + "0" * 62), blob_name("ff" + "0" * 62), f"{BLOBS}{kept.blob_key}"):
        await room.storage.run(room.storage.store.put, name, source, share=True)
    assert (await room.cleaning.run(now_ms())).orphans == 0
    report = await room.cleaning.run(now_ms() + DAY_MS)
    assert report.orphans == 3 and await names(room) == [kept.blob]


async def test_looking_for_orphans_goes_on_where_it_stopped(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    source = room.storage.scratch()
    source.write_bytes(b"orphan")
    for place in range(6):
        await room.storage.run(room.storage.store.put, blob_name(f"{place}0" + "0" * 62), source, share=True)
    monkeypatch.setattr("marquetry.server.storage.cleaning.PAGE", 2)
    monkeypatch.setattr("marquetry.server.storage.cleaning.PAGES_AT_ONCE", 1)
    later, found = now_ms() + DAY_MS, []
    for _ in range(3):
        await room.cleaning.run(later)
        found.append(len(await names(room)))
    assert found == [4, 2, 0]


async def test_a_part_that_fails_is_told_and_holds_up_nothing(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.plans.plans["ada"] = StoragePlan(retention_days=1)
    await room.keep(b"old")

    def fail(*_: Any) -> None:
        raise OSError("the network is down")

    with monkeypatch.context() as broken:
        broken.setattr(room.storage.store, "listed", fail)
        report = await room.cleaning.run(3 * DAY_MS)
    assert report.files == 1 and report.failed == ["delete orphans: the network is down"]


async def test_uploads_whose_time_is_over_and_old_scratch_files_go(room: Room) -> None:
    upload = PartUpload(new_upload_id(), "ada", "x.png", 10, None, "input", "", 1_000, 2_000)
    await room.uploads.begin(upload)
    room.uploads.path(upload.id).write_bytes(b"12345")
    old, new = room.storage.scratch(), room.storage.scratch()
    for path in (old, new):
        path.write_bytes(b"scratch")
    os.utime(old, (1, 1))
    assert (await room.cleaning.run(now_ms())).uploads == 2
    assert list(room.storage.incoming.iterdir()) == [new]


async def test_rows_of_old_jobs_are_packed_away_and_their_files_stay(database: Any, store: BlobStore, tmp_path: Path) -> None:
    room = room_of(store, database, tmp_path, finished_jobs="archive", finished_job_days=90)
    made = await room.keep(b"made", job_id="old", folder="output", path="x.txt")
    await add_job(room, "old", finished_ms=DAY_MS, text="x")
    await add_job(room, "old of bob", finished_ms=DAY_MS, owner="bob")
    await add_job(room, "new", finished_ms=50 * DAY_MS)
    await add_job(room, "live", state="running", finished_ms=None)
    assert (await room.cleaning.run(92 * DAY_MS, dry_run=True)).jobs == 2
    assert (await room.cleaning.run(92 * DAY_MS)).jobs == 2
    assert await job_ids(room) == ["live", "new"]
    rows = await database.read(lambda connection: connection.execute(select(job_archives).order_by(job_archives.c.owner)).all())
    assert [(row.owner, row.jobs) for row in rows] == [("ada", 1), ("bob", 1)]
    packed = tmp_path / "packed"
    assert rows[0].key.startswith(f"{ARCHIVES}{place_of('ada')}/") and await room.storage.run(store.fetch, rows[0].key, packed)
    assert [(job["id"], job["graph"]["1"]["inputs"]["image"]) for job in unpacked(packed)] == [("old", "x")]
    assert room.read(made) == b"made"
    await room.storage.close()


async def test_a_crash_between_packing_and_deleting_packs_the_same_again(
    database: Any, store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = room_of(store, database, tmp_path, finished_jobs="archive", finished_job_days=1)
    await add_job(room, "old")

    def fail(*_: Any) -> Any:
        raise OSError("the power went")

    with monkeypatch.context() as broken:
        broken.setattr("marquetry.server.storage.job_archive.remove_packed", fail)
        assert (await room.cleaning.run(3 * DAY_MS)).failed == ["pack jobs: the power went"]
    assert await job_ids(room) == ["old"]
    assert (await room.cleaning.run(3 * DAY_MS)).jobs == 1
    assert await job_ids(room) == [] and len(await names(room, ARCHIVES)) == 1
    await room.storage.close()


async def test_old_jobs_are_kept_unless_the_operator_wants_otherwise(room: Room) -> None:
    await add_job(room, "old")
    assert (await room.cleaning.run(1000 * DAY_MS)).jobs == 0 and await job_ids(room) == ["old"]


async def test_thumbnails_go_with_their_picture_and_when_there_are_too_many(database: Any, store: BlobStore, tmp_path: Path) -> None:
    room = room_of(store, database, tmp_path, thumbnail_cache_bytes=150)
    kept = [await room.keep(picture(colour), name="x.png") for colour in ("red", "green", "blue")]
    paths = [await room.thumbnails.of(file, 64) for file in kept]
    for place, path in enumerate(paths):
        os.utime(path, (place + 1, place + 1))
    await room.thumbnails.of(kept[0], 64)
    report = await room.cleaning.run(2_000)
    assert report.thumbnails >= 1 and not paths[1].exists() and paths[0].exists()
    await room.storage.delete(kept[0].id, "ada")
    assert not paths[0].exists()
    await room.storage.close()


async def test_where_the_store_is_elsewhere_copies_here_are_bounded_and_come_back(database: Any, bucket: Any, tmp_path: Path) -> None:
    from marquetry.server.storage.s3_store import S3Store

    room = room_of(S3Store(bucket), database, tmp_path, local_results_bytes=25)
    output = room.storage.folders.of("ada").output
    for place in range(3):
        (output / f"{place}.txt").write_bytes(b"0123456789")
        os.utime(output / f"{place}.txt", (1, 1))
        file = await room.keep(b"0123456789", job_id=f"job {place}", folder="output", path=f"{place}.txt", now_ms=2_000)
        await room.storage.database.write(note_copy, Copy(room.storage.host, file.id, 10, 10 - place))
    assert room.storage.local(file) == output / "2.txt"
    report = await room.cleaning.run(3_000)
    assert (report.local_copies, report.local_copy_bytes) == (1, 10)
    assert sorted(path.name for path in output.iterdir()) == ["0.txt", "1.txt"] and room.storage.local(file) is None
    assert await restore(room.storage, "ada", "output", "2.txt", 20)
    assert (output / "2.txt").read_bytes() == b"0123456789" and room.storage.local(file) == output / "2.txt"
    assert not await restore(room.storage, "ada", "output", "9.txt", 20) and not await restore(room.storage, "bob", "output", "2.txt", 20)
    await room.cleaning.run(3_000)
    assert sorted(path.name for path in output.iterdir()) == ["0.txt", "2.txt"]
    (output / "0.txt").write_bytes(b"0000000000")
    zero = await room.storage.database.read(
        lambda connection: connection.execute(select(files.c.id).where(files.c.path == "0.txt")).scalar()
    )
    assert room.storage.local(await room.storage.find(str(zero), None)) is None  # another file has that name by now
    await room.storage.close()
