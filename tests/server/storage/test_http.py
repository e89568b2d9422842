"""Files over HTTP: they come in whole, in parts or by address, are known by content, and go out to their owners alone."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import wave
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from PIL import Image

from marquetry.server.configuration.storage import S3Settings
from marquetry.server.storage.room import STORAGE
from tests.server.nodes import GATES, linked, whole
from tests.server.peer import Peer, served
from tests.server.test_files import picture
from tests.server.test_outbound import remote


def form(data: bytes, name: str = "photo.png", **fields: str) -> aiohttp.FormData:
    made = aiohttp.FormData(quote_fields=False)  # names as browsers send them
    made.add_field("file", data, filename=name, content_type="application/octet-stream")
    for key, value in fields.items():
        made.add_field(key, value)
    return made


def sound(milliseconds: int = 500) -> bytes:
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(2 * 8 * milliseconds))
    return data.getvalue()


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def video(brand: bytes = b"isom") -> bytes:
    """The boxes of an MP4 of 2 s and 640x360, with a place in its tags, and no samples."""
    header = box(b"mvhd", bytes(4) + struct.pack(">4I", 7, 7, 1000, 2000) + bytes(80))
    track = box(b"tkhd", bytes(4) + struct.pack(">2I", 7, 7) + bytes(64) + struct.pack(">2I", 640 << 16, 360 << 16))
    tags = box(b"udta", box(b"\xa9xyz", b"\x00\x12\x15\xc7+52.5200+013.4050/"))
    return box(b"ftyp", brand + bytes(4) + brand) + box(b"moov", header + box(b"trak", track) + tags) + box(b"mdat", b"samples")


def weights() -> bytes:
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(8)


def archive(*names: str, size: int = 10) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            file.writestr(name, bytes(size))
    return data.getvalue()


async def upload(peer: Peer, data: bytes, name: str = "photo.png", status: int = 201, **fields: str) -> Any:
    return await peer.json("POST", "/api/v1/files", status, data=form(data, name, **fields))


@pytest.mark.parametrize(
    ("data", "name", "purpose", "media_type", "facts"),
    [
        (picture(), "x.png", "input", "image/png", {"width": 16, "height": 8}),
        (picture(format="JPEG"), "x.jpeg", "image", "image/jpeg", {"width": 16, "height": 8}),
        (picture(format="WEBP"), "x.webp", "avatar", "image/webp", {"width": 16, "height": 8}),
        (picture(format="GIF"), "x.gif", "mask", "image/gif", {"width": 16, "height": 8}),
        (picture(format="AVIF"), "x.avif", "reference", "image/avif", {"width": 16, "height": 8}),
        (sound(), "x.wav", "voice", "audio/wav", {"duration_ms": 500}),
        (b"fLaC\x00\x00\x00\x22" + bytes(10) + ((8000 << 44) | 16000).to_bytes(8, "big") + bytes(20), "x.flac", "input", "audio/flac",
         {"duration_ms": 2000}),
        (b"ID3\x04" + bytes(60), "x.mp3", "input", "audio/mpeg", {}),
        (b"OggS" + bytes(60), "x.opus", "input", "audio/ogg", {}),
        (video(), "x.mp4", "input", "video/mp4", {"width": 640, "height": 360, "duration_ms": 2000}),
        (video(b"qt  "), "x.mov", "input", "video/quicktime", {"width": 640, "duration_ms": 2000}),
        (video(b"M4A "), "x.m4a", "voice", "audio/mp4", {"duration_ms": 2000}),
        (bytes.fromhex("1a45dfa3874282847765626d18538067" + "8e" + "1654ae6b89" + "ae87" + "e085" + "b08140" + "ba8120"[:4]), "x.webm", "input",
         "video/webm", {"width": 64}),
        (weights(), "x.safetensors", "weights", "application/x-safetensors", {}),
        (archive("a.txt", "b/c.txt"), "x.zip", "dataset", "application/zip", {}),
        (b"a cat\non a mat", "x.srt", "input", "text/plain", {}),
    ],
    ids=lambda value: value if isinstance(value, str) and "/" in value else "",
)  # fmt: skip
async def test_what_a_file_is_is_told_by_its_content(
    peer: Peer, data: bytes, name: str, purpose: str, media_type: str, facts: dict[str, int]
) -> None:
    stored = await upload(peer, data, name, purpose=purpose)
    assert stored["media_type"] == media_type and stored["filename"] == name and stored["purpose"] == purpose
    assert {key: stored[key] for key in facts} == facts
    wrong = await upload(peer, data, "x.html", purpose=purpose)
    assert wrong["media_type"] == media_type and not wrong["filename"].endswith(".html")


@pytest.mark.parametrize(
    ("data", "purpose"),
    [
        (b"<html><script>alert(1)</script>", "input"),
        (b"  <svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "input"),
        (b"MZ\x90\x00" + bytes(100), "input"),
        (b"\x7fELF" + bytes(100), "input"),
        (b"%PDF-1.7\n\x00", "input"),
        (bytes(100), "input"),
        (weights(), "input"),
        (picture(), "weights"),
        (weights()[:-1], "weights"),
        (archive("a.txt"), "input"),
        (archive("../../evil.txt"), "dataset"),
        (archive("/etc/passwd"), "dataset"),
        (archive("big.txt", size=20_000_000), "dataset"),
        (archive("a.txt")[:-10], "dataset"),
        (picture(), "voice"),
        (b"ftypheic" + bytes(40), "input"),
    ],
)
async def test_what_does_not_belong_is_refused_whatever_it_is_called(peer: Peer, data: bytes, purpose: str) -> None:
    answer = await upload(peer, data, "photo.png", 415, purpose=purpose)
    assert answer["error"]["code"] == "unsupported_content"
    assert (await peer.json("GET", "/api/v1/files"))["total"] == 0
    assert not list(peer.folders.input.iterdir()) and not list(peer.application[STORAGE].storage.incoming.iterdir())


async def test_uploads_lose_what_tells_of_a_person(peer: Peer) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    exif.get_ifd(0x8825)[1] = "N"
    for data, name in ((picture(format="JPEG", exif=exif), "x.jpg"), (video(), "x.mp4")):
        stored = await upload(peer, data, name)
        kept = await peer.send("GET", stored["url"])
        assert b"a camera" not in kept and b"+52.5200" not in kept
        assert stored["sha256"] == hashlib.sha256(kept).hexdigest() and stored["size_bytes"] == len(kept)
        assert (peer.folders.input / name).read_bytes() == kept
    assert len(kept) == len(video())


async def test_pictures_of_absurd_size_are_refused_without_being_decoded(peer: Peer) -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    from marquetry.engine.pictures.png import SIGNATURE, chunk

    bomb = SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", b"x\x9c") + chunk(b"IEND", b"")
    for data in (bomb, picture(size=(20_000, 1))):
        answer = await upload(peer, data, status=400)
        assert answer["error"]["code"] == "invalid_picture"


async def test_a_file_is_what_graphs_read_by_its_name(peer: Peer) -> None:
    first = await upload(peer, picture("red"), subfolder="sub")
    assert (first["name"], (peer.folders.input / "sub" / "photo.png").is_file()) == ("sub/photo.png", True)
    assert (await upload(peer, picture("red"), subfolder="sub"))["id"] == first["id"]
    assert (await upload(peer, picture("green"), subfolder="sub"))["name"] == "sub/photo (1).png"
    replaced = await upload(peer, picture("blue"), subfolder="sub", overwrite="true")
    assert replaced["name"] == "sub/photo.png" and replaced["id"] != first["id"]
    assert Image.open(peer.folders.input / "sub" / "photo.png").convert("RGB").getpixel((0, 0)) == (0, 0, 255)
    assert Image.open(io.BytesIO(await peer.send("GET", first["url"]))).convert("RGB").getpixel((0, 0)) == (255, 0, 0)
    await peer.json("DELETE", f"/api/v1/files/{first['id']}")
    assert (peer.folders.input / "sub" / "photo.png").is_file()
    await peer.json("DELETE", f"/api/v1/files/{replaced['id']}")
    assert not (peer.folders.input / "sub" / "photo.png").exists()


async def test_what_a_live_job_needs_is_not_deleted(peer: Peer) -> None:
    stored = await upload(peer, picture(), "needed.png")
    job = await peer.submit(linked("Tell", text="reads needed.png [input]", value=["3", 0]) | {"3": whole("Gate", name="needed")})
    answer = await peer.json("DELETE", f"/api/v1/files/{stored['id']}", 409)
    assert answer["error"]["code"] == "file_in_use"
    GATES["needed"].set()
    await peer.done(job)
    await peer.json("DELETE", f"/api/v1/files/{stored['id']}")
    assert await peer.json("GET", f"/api/v1/files/{stored['id']}", 404)


@pytest.fixture(params=["folder", "redirect", "passed on"])
async def stored_elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Peer]:
    """A server on each kind of store, with each way to give bytes out."""
    settings: dict[str, Any] = {}
    if request.param != "folder":
        bucket: S3Settings = request.getfixturevalue("bucket")
        plain = {name: getattr(bucket, name) for name in ("bucket", "prefix", "region", "endpoint_url")}
        keys = {"access_key_id": "testing", "secret_access_key": "testing", "redirect": request.param == "redirect"}
        settings = {"storage": {"store": "s3", "s3": {**plain, **keys}}}
    async with served(tmp_path / "data", **settings) as peer:
        yield peer


async def test_bytes_go_out_whole_in_parts_and_by_signed_addresses(stored_elsewhere: Peer) -> None:
    peer = stored_elsewhere
    data = picture()
    stored = await upload(peer, data, "Bild ü.png", purpose="avatar")
    url = stored["url"]
    async with peer.session.get(url) as answer:
        kept = await answer.read()
        assert (
            answer.headers["Content-Type"] == "image/png" and "filename*=UTF-8''Bild%20%C3%BC.png" in answer.headers["Content-Disposition"]
        )
        assert answer.headers["Content-Disposition"].startswith("inline")
    assert hashlib.sha256(kept).hexdigest() == stored["sha256"]
    assert await peer.send("GET", url, 206, headers={"Range": "bytes=5-9"}) == kept[5:10]
    assert await peer.send("GET", url, 206, headers={"Range": "bytes=-4"}) == kept[-4:]
    async with peer.session.get(f"{url}?download=true") as answer:
        assert answer.headers["Content-Disposition"].startswith("attachment")
    told = await peer.json("GET", f"/api/v1/files/{stored['id']}")
    assert await peer.send("GET", told["signed_url"]) == kept
    await peer.json("GET", told["signed_url"].replace("signature=", "signature=0"), 403)
    await peer.json("GET", told["signed_url"].replace("expires=", "expires=9"), 403)
    image = await peer.json("GET", f"/api/v1/images/{stored['id']}")
    small = Image.open(io.BytesIO(await peer.send("GET", image["thumbnails"]["64"])))
    assert small.format == "WEBP" and small.size == (16, 8)
    await peer.json("DELETE", f"/api/files/{stored['id']}")
    await peer.json("GET", url, 404)


async def test_a_range_beyond_the_end_is_refused(stored_elsewhere: Peer) -> None:
    stored = await upload(stored_elsewhere, picture(), purpose="avatar")
    await stored_elsewhere.send("GET", stored["url"], 416, headers={"Range": "bytes=100000-"})


async def test_nothing_that_browsers_run_goes_out_in_place(peer: Peer) -> None:
    stored = await upload(peer, b"alert(1)", "x.js", purpose="input")
    assert stored["filename"] == "x.js.txt"
    async with peer.session.get(stored["url"]) as answer:
        assert answer.headers["Content-Type"] == "application/octet-stream" and answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Disposition"].startswith("attachment") and "sandbox" in answer.headers["Content-Security-Policy"]


async def test_thumbnails_have_sizes_from_a_list_and_only_pictures_have_them(peer: Peer) -> None:
    stored = await upload(peer, picture(size=(1000, 500)))
    for size in (64, 256, 512):
        assert max(Image.open(io.BytesIO(await peer.send("GET", f"{stored['thumbnail_url']}?size={size}"))).size) == size
    await peer.json("GET", f"{stored['thumbnail_url']}?size=65", 400)
    other = await upload(peer, sound(), "x.wav")
    assert other["thumbnail_url"] is None
    answer = await peer.json("GET", f"/api/v1/files/{other['id']}/thumbnail", 404)
    assert answer["error"]["code"] == "no_thumbnail"


async def test_files_of_others_are_not_there(tmp_path: Path) -> None:
    async with served(tmp_path / "data", multi_user=True) as peer:
        ada, bob = [{"comfy-user": await peer.json("POST", "/users", json={"username": name})} for name in ("ada", "bob")]
        stored = await peer.json("POST", "/api/v1/files", 201, data=form(picture()), headers=ada)
        one = f"/api/v1/files/{stored['id']}"
        for method, path in (("GET", one), ("DELETE", one), ("GET", f"{one}/content"), ("GET", f"{one}/thumbnail"),
                             ("GET", f"/api/v1/images/{stored['id']}")):  # fmt: skip
            await peer.json(method, path, 404, headers=bob)
        assert (await peer.json("GET", "/api/v1/files", headers=bob))["total"] == 0
        signed = (await peer.json("GET", one, headers=ada))["signed_url"]
        await peer.send("GET", signed, headers=bob)


async def test_a_large_file_comes_in_parts(peer: Peer) -> None:
    data = picture(size=(300, 300))
    begun = {"filename": "large.png", "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    state = await peer.json("POST", "/api/v1/files/uploads", 201, json=begun)
    one = f"/api/v1/files/uploads/{state['id']}"
    half = len(data) // 2
    assert (await peer.json("PATCH", f"{one}?offset=0", data=data[:half]))["offset"] == half
    answer = await peer.json("PATCH", f"{one}?offset=0", 409, data=data[:half])
    assert answer["error"]["details"]["offset"] == half
    assert (await peer.json("GET", one))["offset"] == half
    await peer.json("POST", f"{one}/complete", 409)
    await peer.json("PATCH", f"{one}?offset={half}", 413, data=data)
    await peer.json("PATCH", f"{one}?offset={half}", data=data[half:])
    stored = await peer.json("POST", f"{one}/complete", 201)
    assert stored["name"] == "large.png" and stored["width"] == 300
    await peer.json("GET", one, 404)


async def test_parts_that_do_not_make_up_what_was_announced_are_refused(peer: Peer) -> None:
    data = picture()
    state = await peer.json("POST", "/api/v1/files/uploads", 201, json={"filename": "x.png", "size_bytes": len(data), "sha256": "0" * 64})
    one = f"/api/v1/files/uploads/{state['id']}"
    await peer.json("PATCH", f"{one}?offset=0", data=data)
    answer = await peer.json("POST", f"{one}/complete", 409)
    assert answer["error"]["code"] == "upload_conflict" and hashlib.sha256(data).hexdigest() in answer["error"]["message"]
    await peer.send("DELETE", one, 204)
    assert not list(peer.application[STORAGE].storage.incoming.iterdir())


async def test_nobody_has_more_than_some_uploads_open(peer: Peer) -> None:
    begun = {"filename": "x.png", "size_bytes": 10}
    for _ in range(20):
        await peer.json("POST", "/api/v1/files/uploads", 201, json=begun)
    await peer.json("POST", "/api/v1/files/uploads", 409, json=begun)
    await peer.json("POST", "/api/v1/files/uploads", 413, json={**begun, "size_bytes": 2**44})
    await peer.json("POST", "/api/v1/files/uploads", 400, json={**begun, "subfolder": "../.."})


async def test_a_file_is_fetched_by_its_address(tmp_path: Path) -> None:
    async def give(request: web.Request) -> web.Response:
        return web.Response(body=b"<html>" if request.path == "/page" else picture(), content_type="image/png")

    async with remote(give) as port:
        allowed = {"automation": {"private_hosts": [f"127.0.0.1:{port}"]}}
        async with served(tmp_path / "data", **allowed) as peer:
            address = f"http://127.0.0.1:{port}"
            stored = await peer.json("POST", "/api/upload-from-url", 201, json={"url": f"{address}/cat.png?x=1"})
            assert stored["filename"] == "cat.png" and stored["media_type"] == "image/png"
            await peer.json("POST", "/api/v1/files/upload-from-url", 415, json={"url": f"{address}/page"})
            await peer.json("POST", "/api/v1/files/upload-from-url", 400, json={"url": "http://127.0.0.1:1/x.png"})
            await peer.json("POST", "/api/v1/files/upload-from-url", 400, json={"url": "file:///etc/passwd"})
            assert not list(peer.application[STORAGE].storage.incoming.iterdir())


async def test_uploads_stop_at_the_quota_and_at_the_limit_of_one_file(tmp_path: Path) -> None:
    async with served(tmp_path / "data", storage={"quota_bytes": 3_000}, limits={"upload_bytes": 100_000}) as peer:
        await upload(peer, b"x" * 2_000, "a.txt")
        answer = await upload(peer, b"y" * 2_000, "b.txt", 409)
        assert answer["error"]["code"] == "storage_full" and answer["error"]["details"] == {"quota_bytes": 3_000}
        comfy = aiohttp.FormData()
        comfy.add_field("image", b"z" * 2_000, filename="z.txt")
        await peer.json("POST", "/upload/image", 409, data=comfy)
        await peer.json("POST", "/api/v1/files", 413, data=form(b"w" * 200_000, "w.txt"))
        used = await peer.json("GET", "/api/v1/files/usage")
        assert used == {"bytes": 2_000, "files": 1, "quota_bytes": 3_000, "retention_days": None}
        assert [path.name for path in peer.folders.input.iterdir()] == ["a.txt"]


async def test_what_comfyuis_clients_upload_counts_as_theirs(peer: Peer) -> None:
    for _ in range(2):
        data = aiohttp.FormData()
        data.add_field("image", picture(), filename="photo.png")
        await peer.json("POST", "/upload/image", data=data)
    found = (await peer.json("GET", "/api/v1/files?type=image"))["files"]
    assert [(file["name"], file["purpose"]) for file in found] == [("photo.png", "input")]
