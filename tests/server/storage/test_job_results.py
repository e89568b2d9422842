"""What jobs save becomes files when they have ended: once, for their owner, whatever breaks off."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from marquetry.server.storage.job_results import JobResults
from marquetry.server.storage.room import STORAGE
from marquetry.server.storage.thumbnails import FIRST_SIZE
from tests.server.nodes import linked, whole
from tests.server.peer import Peer, served


@pytest.fixture(params=["folder", "s3"])
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    if request.param == "folder":
        return {}
    bucket = request.getfixturevalue("bucket")
    plain = {name: getattr(bucket, name) for name in ("bucket", "prefix", "region", "endpoint_url")}
    return {"storage": {"store": "s3", "s3": {**plain, "access_key_id": "testing", "secret_access_key": "testing"}}}


async def made(peer: Peer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await peer.json("GET", "/api/v1/files?made=true"))["files"]
    return found


async def test_a_saved_picture_is_a_file_with_a_thumbnail_as_soon_as_its_job_has_ended(tmp_path: Path, settings: dict[str, Any]) -> None:
    async with served(tmp_path / "data", **settings) as peer:
        job = await peer.submit({"1": whole("Paint", seed=7)})
        await peer.done(job)
        (file,) = await made(peer)
        assert (file["job_id"], file["node_id"], file["name"], file["purpose"]) == (job, "1", "red_7.png [output]", "output")
        assert (file["media_type"], file["width"], file["height"], file["expires_ms"]) == ("image/png", 16, 8, None)
        room = peer.application[STORAGE]
        stored = await room.storage.find(file["id"], None)
        assert (room.thumbnails.root / stored.sha256[:2] / f"{stored.sha256}-{FIRST_SIZE}.webp").is_file()
        (peer.folders.output / "red_7.png").unlink()
        assert Image.open(io.BytesIO(await peer.send("GET", file["url"]))).size == (16, 8)
        if settings:
            assert len(await peer.send("GET", "/view?filename=red_7.png")) == file["size_bytes"]
            assert (peer.folders.output / "red_7.png").is_file()


async def test_the_history_shows_jobs_with_what_they_made(peer: Peer) -> None:
    await peer.done(await peer.submit({"1": whole("Paint", colour="green", seed=7, text="a tree")}))
    quiet = await peer.submit(linked("Tell", text="nothing saved"))
    await peer.done(quiet)
    history = await peer.json("GET", "/api/v1/user/history?limit=10")
    assert history["total"] == 2
    newest, oldest = history["entries"]
    assert (newest["job_id"], newest["files"], newest["thumbnail_url"]) == (quiet, [], None)
    assert oldest["made"]["seeds"] == [7] and oldest["files"][0]["filename"] == "green_7.png"
    small = Image.open(io.BytesIO(await peer.send("GET", oldest["thumbnail_url"])))
    assert small.format == "WEBP"
    assert (await peer.json("GET", "/api/v1/user/history?state=failed"))["total"] == 0


async def test_recording_again_adds_nothing(peer: Peer) -> None:
    await peer.done(await peer.submit({"1": whole("Paint", seed=1)}))
    before = await made(peer)
    room = peer.application[STORAGE]
    again = JobResults(room.storage, room.thumbnails)
    again._from_ms = 0
    await again.catch_up()
    assert await made(peer) == before


async def test_what_ended_while_nothing_recorded_is_recorded_at_the_next_start(tmp_path: Path) -> None:
    async with served(tmp_path / "data") as peer:
        await peer.done(await peer.submit({"1": whole("Paint", seed=1)}))
        assert len(await made(peer)) == 1
    async with served(tmp_path / "data", storage={"record_results": False}) as peer:
        await peer.done(await peer.submit({"1": whole("Paint", seed=2)}))
        assert len(await made(peer)) == 1
    async with served(tmp_path / "data") as peer:
        assert {file["filename"] for file in await made(peer)} == {"red_1.png", "red_2.png"}


async def test_while_the_store_is_away_results_wait(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    room = peer.application[STORAGE]

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("the network is down")

    with monkeypatch.context() as broken:
        broken.setattr(room.storage.store, "put", fail)
        await peer.done(await peer.submit({"1": whole("Paint", seed=1)}))
        with pytest.raises(OSError, match="down"):
            await room.results.catch_up()
    await room.results.catch_up()
    assert [file["filename"] for file in await made(peer)] == ["red_1.png"]


async def test_a_deleted_result_leaves_the_output_folder_too(peer: Peer) -> None:
    await peer.done(await peer.submit({"1": whole("Paint", seed=1)}))
    (file,) = await made(peer)
    await peer.json("DELETE", f"/api/v1/files/{file['id']}")
    assert not (peer.folders.output / "red_1.png").exists() and await made(peer) == []


async def test_results_that_tell_where_they_were_taken_lose_that(peer: Peer) -> None:
    from marquetry.server.storage.inspection import describe

    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    path = peer.folders.output / "x.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path, exif=exif)
    describe(path)
    with Image.open(path) as kept:
        assert not kept.getexif()
