"""Every store keeps the same promises."""

from __future__ import annotations

import http.client
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest

from marquetry.server.configuration.storage import S3Settings
from marquetry.server.storage.blob_store import BLOBS, BlobStore, Shown, blob_name, key_of_name
from marquetry.server.storage.errors import FileMissing, StoreNotConfigured
from marquetry.server.storage.folder_store import FolderStore
from marquetry.server.storage.s3_store import S3Store

NAME = blob_name("ab" + "0" * 62)


def file_with(folder: Path, data: bytes) -> Path:
    path = folder / f"{uuid4().hex}.bin"
    path.write_bytes(data)
    return path


def test_what_is_put_can_be_read_whole_and_in_part(store: BlobStore, tmp_path: Path) -> None:
    store.check()
    store.put(NAME, file_with(tmp_path, bytes(range(200))))
    assert store.size_bytes(NAME) == 200
    assert b"".join(store.read(NAME, 0, 200)) == bytes(range(200))
    assert b"".join(store.read(NAME, 10, 5)) == bytes(range(10, 15))
    assert store.fetch(NAME, tmp_path / "back.bin") and (tmp_path / "back.bin").read_bytes() == bytes(range(200))


def test_nothing_is_there_before_it_is_put_and_after_it_is_deleted(store: BlobStore, tmp_path: Path) -> None:
    store.put(NAME, file_with(tmp_path, b"x"))
    store.delete([NAME, blob_name("cd" + "0" * 62)])
    assert store.size_bytes(NAME) is None
    assert not store.fetch(NAME, tmp_path / "back.bin")
    with pytest.raises(FileMissing):
        next(store.read(NAME, 0, 1))


def test_empty_bytes_are_kept_too(store: BlobStore, tmp_path: Path) -> None:
    store.put(NAME, file_with(tmp_path, b""))
    assert store.size_bytes(NAME) == 0 and b"".join(store.read(NAME, 0, 0)) == b""


def test_names_are_listed_in_order_and_in_pages(store: BlobStore, tmp_path: Path) -> None:
    keys = [f"{first}{second}{place}" for first in "ab" for second in "0f" for place in range(3)]
    for key in reversed(keys):
        store.put(blob_name(key), file_with(tmp_path, key.encode()))
    store.put("jobs/other.gz", file_with(tmp_path, b"other"))
    found: list[str] = []
    after = ""
    while page := store.listed(BLOBS, after, 5):
        assert len(page) <= 5
        found += [key_of_name(entry.name) for entry in page]
        after = page[-1].name
    assert found == sorted(keys)
    assert store.listed(BLOBS, "", 1)[0].size_bytes == 3 and store.listed(BLOBS, "", 1)[0].modified_ms > 0


def test_shared_bytes_stay_where_they_were(tmp_path: Path) -> None:
    source = file_with(tmp_path, b"result")
    shared, copied = FolderStore(tmp_path / "shared"), FolderStore(tmp_path / "copied", hard_links=False)
    shared.put(NAME, source, share=True)
    copied.put(NAME, source, share=True)
    kept = shared.path(NAME)
    assert kept is not None and kept.stat().st_ino == source.stat().st_ino
    assert copied.path(NAME).stat().st_ino != source.stat().st_ino  # type: ignore[union-attr]
    source.unlink()
    assert b"".join(shared.read(NAME, 0, 6)) == b"result"


@pytest.mark.parametrize("name", ["", "/etc/passwd", "blobs/../../x", "a\x00b"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    store = FolderStore(tmp_path / "store")
    with pytest.raises(FileMissing):
        store.path(name)


def test_an_address_of_s3_gives_the_bytes_as_they_should_be_shown(bucket: S3Settings, tmp_path: Path) -> None:
    store = S3Store(bucket)
    store.put(NAME, file_with(tmp_path, b"0123456789"))
    address = store.link(NAME, Shown("a.png", "image/png", 'inline; filename="a.png"'), 60)
    assert address is not None and "X-Amz-Signature" in address and "testing" not in address.replace("testing%2F", "")
    with urlopen(Request(address, headers={"Range": "bytes=2-4"})) as answer:
        assert answer.status == 206 and answer.read() == b"234"
        assert answer.headers["Content-Type"] == "image/png" and answer.headers["Content-Disposition"] == 'inline; filename="a.png"'
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc)
    connection.request("GET", parts.path)
    assert connection.getresponse().status in (200, 403)  # moto checks no signatures unless told to
    connection.close()


def test_a_store_that_is_not_set_up_says_how_to_set_it_up(bucket: S3Settings, tmp_path: Path) -> None:
    with pytest.raises(StoreNotConfigured, match=r"storage\.s3\.bucket"):
        S3Store(S3Settings())
    with pytest.raises(StoreNotConfigured, match="can't be reached"):
        S3Store(bucket.model_copy(update={"bucket": "there-is-none"})).check()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreNotConfigured, match=r"storage\.folder"):
        FolderStore(tmp_path / "file" / "below").check()
