"""Files come and go by names that never leave their folders, and without what tells of a person."""

from __future__ import annotations

import io
import json
from typing import Any

import aiohttp
import pytest
from PIL import Image

from tests.server.peer import Peer, served


def picture(colour: str = "red", format: str = "PNG", size: tuple[int, int] = (16, 8), **more: Any) -> bytes:
    data = io.BytesIO()
    Image.new("RGBA" if format == "PNG" else "RGB", size, colour).save(data, format, **more)
    return data.getvalue()


def form(data: bytes, name: str = "photo.png", field: str = "image", **fields: str) -> aiohttp.FormData:
    made = aiohttp.FormData()
    made.add_field(field, data, filename=name, content_type="image/png")
    for key, value in fields.items():
        made.add_field(key, value)
    return made


async def test_the_same_bytes_keep_their_name_and_others_get_a_number(peer: Peer) -> None:
    first = await peer.json("POST", "/upload/image", data=form(picture("red")))
    assert first == {"name": "photo.png", "subfolder": "", "type": "input"}
    assert (await peer.json("POST", "/api/upload/image", data=form(picture("red"))))["name"] == "photo.png"
    assert (await peer.json("POST", "/upload/image", data=form(picture("green"))))["name"] == "photo (1).png"
    await peer.json("POST", "/upload/image", data=form(picture("blue"), overwrite="true", subfolder="a/b"))
    assert (await peer.json("POST", "/upload/image", data=form(picture("green"), overwrite="1")))["name"] == "photo.png"
    shown = await peer.send("GET", "/view?filename=photo.png&type=input")
    assert Image.open(io.BytesIO(shown)).convert("RGB").getpixel((0, 0)) == (0, 128, 0)
    assert len(await peer.send("GET", "/view?filename=photo.png [input]&subfolder=a/b")) > 0


async def test_uploaded_pictures_lose_their_exif(peer: Peer) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    exif.get_ifd(0x8825)[1] = "N"
    await peer.json("POST", "/upload/image", data=form(picture(format="JPEG", exif=exif), "photo.jpg"))
    kept = (peer.folders.input / "photo.jpg").read_bytes()
    assert b"a camera" not in kept and not Image.open(io.BytesIO(kept)).getexif()


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"subfolder": "../.."}, 400),
        ({"subfolder": "/etc"}, 400),
        ({"subfolder": "a/../../b"}, 400),
        ({"subfolder": "..\\.."}, 400),
        ({"type": "models"}, 400),
        ({"name": ".."}, 400),
        ({"name": "page.html"}, 200),
        ({"name": "../../evil.png"}, 200),
        ({"name": "C:\\evil.png"}, 200),
        ({"name": "x" * 400 + ".png"}, 200),
    ],
)
async def test_no_name_leaves_its_folder(peer: Peer, fields: dict[str, str], status: int) -> None:
    before = sorted(path for path in peer.folders.data.parent.rglob("*.png"))
    answer = await peer.json("POST", "/upload/image", status, data=form(picture(), **fields))
    written = [path for path in peer.folders.data.parent.rglob("*.png") if path not in before]
    assert all(path.is_relative_to(peer.folders.input) for path in written) and len(written) == (status == 200)
    assert "error" in answer or answer["name"].endswith(".png")


async def test_what_is_no_picture_is_told_apart_by_its_content(peer: Peer) -> None:
    answer = await peer.json("POST", "/upload/image", 415, data=form(b"<script>alert(1)</script>"))
    assert answer["error"]["code"] == "unsupported_content"
    await peer.json("POST", "/upload/image", 415, data=form(b"<script>", "page.html"))
    await peer.json("POST", "/upload/image", 400, data=form(picture()[:60]))
    assert (await peer.json("POST", "/upload/image", data=form(b"RIFF....WAVE", "sound.wav")))["name"] == "sound.wav"


async def test_links_are_not_followed_out_of_a_folder(peer: Peer) -> None:
    secret = peer.folders.data.parent / "secret.txt"
    secret.write_text("secret")
    peer.folders.output.mkdir(parents=True, exist_ok=True)
    (peer.folders.output / "link.txt").symlink_to(secret)
    (peer.folders.output / "away").symlink_to(peer.folders.data.parent)
    (peer.folders.input / "photo.png").symlink_to(secret)
    await peer.json("GET", "/view?filename=link.txt", 403)
    await peer.json("GET", "/view?filename=secret.txt&subfolder=away", 403)
    await peer.json("POST", "/upload/image", data=form(picture(), overwrite="true"))
    assert secret.read_text() == "secret"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("filename=../secret", 400),
        ("filename=/etc/passwd", 400),
        ("filename=a%00b", 400),
        ("filename=x.png&subfolder=../..", 403),
        ("filename=x.png&subfolder=/etc", 403),
        ("filename=x.png&type=models", 400),
        ("filename=nothing.png", 404),
        ("", 400),
        ("filename=page.png&preview=exe;90", 400),
    ],
)
async def test_what_can_not_be_viewed_is_refused(peer: Peer, query: str, status: int) -> None:
    peer.folders.output.mkdir(parents=True, exist_ok=True)
    (peer.folders.output / "page.png").write_bytes(picture())
    await peer.json("GET", f"/view?{query}", status)


async def test_a_view_may_be_smaller_or_of_some_channels(peer: Peer) -> None:
    peer.folders.output.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGBA", (4, 4), (10, 20, 30, 40))
    image.save(peer.folders.output / "x.png")
    async with peer.session.get("/view?filename=x.png&preview=webp;50") as answer:
        assert answer.headers["Content-Type"] == "image/webp" and Image.open(io.BytesIO(await answer.read())).size == (4, 4)
        tag = answer.headers["ETag"]
    await peer.send("GET", "/view?filename=x.png&preview=webp;50", 304, headers={"If-None-Match": tag})
    jpeg = Image.open(io.BytesIO(await peer.send("GET", "/view?filename=x.png&preview=jpeg")))
    assert jpeg.format == "JPEG"
    rgb = Image.open(io.BytesIO(await peer.send("GET", "/view?filename=x.png&channel=rgb")))
    assert (rgb.mode, rgb.getpixel((0, 0))) == ("RGB", (10, 20, 30))
    alpha = Image.open(io.BytesIO(await peer.send("GET", "/view?filename=x.png&channel=a")))
    assert alpha.getpixel((0, 0)) == (0, 0, 0, 40)


async def test_files_answer_ranges_and_are_not_sent_twice(peer: Peer) -> None:
    peer.folders.output.mkdir(parents=True, exist_ok=True)
    (peer.folders.output / "x.bin").write_bytes(bytes(range(100)))
    assert await peer.send("GET", "/view?filename=x.bin", 206, headers={"Range": "bytes=10-19"}) == bytes(range(10, 20))
    async with peer.session.get("/view?filename=x.bin") as answer:
        tag = answer.headers["ETag"]
        assert "Content-Encoding" not in answer.headers and 'filename="x.bin"' in answer.headers["Content-Disposition"]
    assert await peer.send("GET", "/view?filename=x.bin", 304, headers={"If-None-Match": tag}) == b""


@pytest.mark.parametrize("name", ["x.html", "x.js", "x.css", "x.svg", "x.xhtml", "x.htm", "x.xml"])
async def test_pages_and_scripts_are_only_offered_for_download(peer: Peer, name: str) -> None:
    peer.folders.output.mkdir(parents=True, exist_ok=True)
    (peer.folders.output / name).write_text("<script>alert(1)</script>")
    for path in (f"/view?filename={name}", f"/api/v1/files/output/{name}"):
        async with peer.session.get(path) as answer:
            assert answer.headers["Content-Type"] == "application/octet-stream"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Content-Disposition"].startswith("attachment")


async def test_a_mask_gives_its_transparency_to_the_original(peer: Peer) -> None:
    await peer.json("POST", "/upload/image", data=form(picture("red"), "original.png"))
    mask = io.BytesIO()
    Image.new("RGBA", (16, 8), (0, 0, 0, 77)).save(mask, "PNG")
    reference = json.dumps({"filename": "original.png", "type": "input"})
    stored = await peer.json("POST", "/upload/mask", data=form(mask.getvalue(), "mask.png", original_ref=reference))
    assert Image.open(peer.folders.input / stored["name"]).getpixel((0, 0)) == (255, 0, 0, 77)
    await peer.json("POST", "/upload/mask", 400, data=form(mask.getvalue(), "mask.png", original_ref="no"))
    await peer.json("POST", "/upload/mask", 404, data=form(mask.getvalue(), "mask.png", original_ref='{"filename": "gone.png"}'))


async def test_what_is_too_large_is_refused_before_it_is_read(tmp_path: Any) -> None:
    async with served(tmp_path / "small", limits={"upload_bytes": 10_000, "body_bytes": 5_000}) as peer:
        answer = await peer.json("POST", "/upload/image", 413, data=form(b"\x89PNG\r\n\x1a\n" + bytes(900_000)))
        assert answer["error"]["code"] == "too_large"
        assert (await peer.json("POST", "/prompt", 413, data=b"{" + b" " * 6_000 + b"}"))["error"]["type"] == "too_large"
        await peer.json("POST", "/api/v1/jobs", 413, data=b"x" * 6_000)


async def test_what_is_no_form_is_refused(peer: Peer) -> None:
    await peer.json("POST", "/upload/image", 400, data=b"abc")
    await peer.json("POST", "/upload/image", 400, data=b"abc", headers={"Content-Type": "multipart/form-data"})
    await peer.json("POST", "/upload/image", 400, data=b"abc", headers={"Content-Type": "multipart/form-data; boundary=x"})
    await peer.json("POST", "/upload/image", 400, data=form(picture(), field="other"))


async def test_our_own_upload_tells_the_hash_and_can_be_read_again(peer: Peer) -> None:
    stored = await peer.json("POST", "/api/v1/files", 201, data=form(picture(), field="file", subfolder="sub"))
    assert stored["name"] == "sub/photo.png" and len(stored["sha256"]) == 64
    assert len(await peer.send("GET", stored["url"])) == stored["size_bytes"]
    await peer.json("GET", "/api/v1/files/input/../../secret", 404)
    await peer.json("GET", "/api/v1/files/input/%2e%2e%2f%2e%2e%2fsecret", 400)
    await peer.json("GET", "/api/v1/files/models/x", 400)


async def test_pictures_of_more_pixels_than_allowed_are_refused(tmp_path: Any) -> None:
    async with served(tmp_path / "small", limits={"image_pixels": 100}) as peer:
        answer = await peer.json("POST", "/upload/image", 400, data=form(picture(size=(20, 20))))
        assert answer["error"]["code"] == "invalid_picture"
