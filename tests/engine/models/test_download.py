"""Fetching weights from a real HTTP server on loopback that behaves as the sites' public documents say."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from aiohttp import web
from aiohttp.test_utils import TestServer
from safetensors.torch import load_file, save

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.folders import Folders
from marquetry.engine.models.download import DownloadError, add_model
from marquetry.engine.models.sources import Sites, SourceError, huggingface_source
from marquetry.engine.models.store import ModelStore

CONTENT = save({"x": torch.arange(200_000.0)})
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Site:
    """A file server with ranges, which may cut connections, and the APIs of the two sites."""

    content: bytes = CONTENT
    tag: str = '"v1"'
    cuts: list[int] = field(default_factory=list)  # bytes after which the next answers end
    requests: list[web.Request] = field(default_factory=list)
    documents: dict[str, object] = field(default_factory=dict)
    url: str = ""

    async def file(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        start = 0
        wanted = request.headers.get("Range")
        if wanted is not None and request.headers.get("If-Range", self.tag) == self.tag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(self.content):
            return web.Response(status=416)
        body = self.content[start:]
        response = web.StreamResponse(status=206 if start else 200, headers={"ETag": self.tag, "Content-Length": str(len(body))})
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
        await response.prepare(request)
        if self.cuts:
            await response.write(body[: self.cuts.pop(0)])
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write(body)
        return response

    async def version(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        document = self.documents.get(request.match_info["id"])
        return web.json_response(document) if document is not None else web.Response(status=404)

    async def moved(self, request: web.Request) -> web.Response:
        raise web.HTTPFound(str(request.query["to"]))


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    application = web.Application()
    application.router.add_get("/api/v1/model-versions/{id}", site.version)
    application.router.add_get("/moved", site.moved)
    application.router.add_get("/{path:.*}", site.file)
    async with TestServer(application) as server:
        site.url = str(server.make_url("")).rstrip("/")
        yield site


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(Folders(tmp_path))


def leftovers(store: ModelStore, kind: str = "checkpoints") -> list[str]:
    return sorted(path.name for path in store.folders.model_folders(kind)[0].glob(".*"))


async def test_file_is_fetched_checked_and_hashed(site: Site, store: ModelStore) -> None:
    steps: list[tuple[int, int | None]] = []

    fetched = await add_model(
        store,
        f"{site.url}/files/a.safetensors",
        kind="loras",
        sha256=DIGEST.upper(),
        progress=lambda done, total: steps.append((done, total)),
    )

    assert (fetched.kind, fetched.name, fetched.sha256, fetched.size_bytes) == ("loras", "a.safetensors", DIGEST, len(CONTENT))
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert store.names("loras") == ("a.safetensors",)
    assert store.hashes.known(fetched.path) == DIGEST
    assert leftovers(store, "loras") == []


async def test_cut_connection_is_resumed_where_it_ended(site: Site, store: ModelStore) -> None:
    site.cuts = [300_000, 200_000]

    fetched = await add_model(store, f"{site.url}/a.safetensors", pause_s=0.01)

    assert fetched.path.read_bytes() == CONTENT
    ranges = [request.headers.get("Range") for request in site.requests]
    assert ranges[0] is None and len(ranges) == 3 and all(ranges[1:])
    assert site.requests[-1].headers["If-Range"] == site.tag


async def test_second_call_goes_on_from_the_part_of_the_first(site: Site, store: ModelStore) -> None:
    site.cuts = [100_000] * 5
    with pytest.raises(DownloadError, match="goes on from there"):
        await add_model(store, f"{site.url}/a.safetensors", pause_s=0.01)
    site.requests.clear()

    fetched = await add_model(store, f"{site.url}/a.safetensors", pause_s=0.01)

    assert fetched.path.read_bytes() == CONTENT
    assert len(site.requests) == 1 and "Range" in site.requests[0].headers
    assert leftovers(store) == []


async def test_file_that_changed_meanwhile_is_fetched_anew(site: Site, store: ModelStore) -> None:
    site.cuts = [100_000] * 5
    with pytest.raises(DownloadError):
        await add_model(store, f"{site.url}/a.safetensors", pause_s=0.01)
    site.content, site.tag, site.cuts = save({"y": torch.ones(100_000)}), '"v2"', []

    fetched = await add_model(store, f"{site.url}/a.safetensors", pause_s=0.01)

    assert fetched.path.read_bytes() == site.content


async def test_wrong_hash_is_refused_and_thrown_away(site: Site, store: ModelStore) -> None:
    with pytest.raises(DownloadError, match=f"{DIGEST}, not {'0' * 64}"):
        await add_model(store, f"{site.url}/a.safetensors", sha256="0" * 64)

    assert store.names("checkpoints") == ()
    assert leftovers(store) == []


async def test_what_is_no_sound_weight_file_is_refused(site: Site, store: ModelStore) -> None:
    site.content = b"<html>please log in</html>"

    with pytest.raises(ModelFormatError, match=r"^a\.safetensors is not a sound"):
        await add_model(store, f"{site.url}/a.safetensors")

    assert leftovers(store) == []


async def test_too_large_a_file_is_refused(site: Site, store: ModelStore) -> None:
    with pytest.raises(DownloadError, match="allowed"):
        await add_model(store, f"{site.url}/a.safetensors", max_bytes=1000)


async def test_file_that_is_there_is_not_overwritten(site: Site, store: ModelStore) -> None:
    await add_model(store, f"{site.url}/a.safetensors")

    with pytest.raises(DownloadError, match="already"):
        await add_model(store, f"{site.url}/a.safetensors")


@pytest.mark.parametrize(
    "source",
    [
        "{url}/..%2F..%2Fevil.safetensors", "{url}/a%5Cb.safetensors", "{url}/.hidden.safetensors", "{url}/", "{url}/CON.safetensors",
        "{url}/a%00b.safetensors", "file:///etc/passwd", "ftp://host/a.safetensors", "a.safetensors", "huggingface:owner/repo",
        "huggingface:owner/repo/../../x.safetensors", "huggingface:../repo/x.safetensors", "civitai:abc", "civitai:1/../2",
        "{url}/a.exe", "{url}/a.gguf",
    ],
)  # fmt: skip
async def test_unsafe_names_and_sources_are_refused(site: Site, store: ModelStore, source: str) -> None:
    with pytest.raises(SourceError):
        await add_model(store, source.format(url=site.url), sites=Sites(site.url, site.url))

    assert store.names("checkpoints") == ()


async def test_name_that_is_given_is_checked_too(site: Site, store: ModelStore) -> None:
    with pytest.raises(SourceError, match="safe file name"):
        await add_model(store, f"{site.url}/a.safetensors", name="../../evil.safetensors")


async def test_pickle_is_refused_unless_asked_for_and_then_converted(site: Site, store: ModelStore, tmp_path: Path) -> None:
    torch.save({"state_dict": {"x": torch.arange(5.0)}}, tmp_path / "a.ckpt")
    site.content = (tmp_path / "a.ckpt").read_bytes()
    with pytest.raises(SourceError, match="pickle"):
        await add_model(store, f"{site.url}/a.ckpt")

    fetched = await add_model(store, f"{site.url}/a.ckpt", allow_pickle=True, sha256=hashlib.sha256(site.content).hexdigest())

    assert (fetched.name, fetched.converted) == ("a.safetensors", True)
    assert torch.equal(load_file(fetched.path)["x"], torch.arange(5.0))
    assert leftovers(store) == []


async def test_huggingface_file_is_fetched_at_its_revision_with_the_token(site: Site, store: ModelStore) -> None:
    sites = Sites(huggingface_url=site.url, huggingface_token="hf_secret")

    fetched = await add_model(store, "huggingface:owner/repo.x/sub/a b.safetensors@refs/pr/1", sites=sites, kind="vae")

    assert fetched.name == "a b.safetensors"
    assert site.requests[0].raw_path == "/owner/repo.x/resolve/refs%2Fpr%2F1/sub/a%20b.safetensors"
    assert site.requests[0].headers["Authorization"] == "Bearer hf_secret"


def test_huggingface_defaults_to_main() -> None:
    assert huggingface_source("o/r/a.safetensors", Sites()).url == "https://huggingface.co/o/r/resolve/main/a.safetensors"


async def test_token_does_not_follow_a_redirect_to_another_host(store: ModelStore, site: Site) -> None:
    other = Site()
    application = web.Application()
    application.router.add_get("/{path:.*}", other.file)
    async with TestServer(application) as server:
        target = str(server.make_url("/cdn/a.safetensors"))

        async def moved(request: web.Request) -> web.StreamResponse:
            raise web.HTTPFound(target)

        site.file = moved  # type: ignore[method-assign]
        front = web.Application()
        front.router.add_get("/{path:.*}", moved)
        async with TestServer(front) as hub:
            await add_model(store, "huggingface:o/r/a.safetensors", sites=Sites(str(hub.make_url("")), huggingface_token="hf_secret"))

    assert "Authorization" not in other.requests[0].headers


async def test_civitai_version_brings_name_kind_and_hash(site: Site, store: ModelStore) -> None:
    files = [
        {"name": "other.ckpt", "downloadUrl": f"{site.url}/other", "hashes": {}},
        {"name": "style.safetensors", "downloadUrl": f"{site.url}/api/download/7", "primary": True, "sizeKB": len(CONTENT) / 1024, "hashes": {"SHA256": DIGEST.upper()}},
    ]  # fmt: skip
    site.documents["7"] = {"model": {"type": "LORA"}, "files": files}

    fetched = await add_model(store, "civitai:7", sites=Sites(civitai_url=site.url, civitai_token="secret"))

    assert (fetched.kind, fetched.name, fetched.sha256) == ("loras", "style.safetensors", DIGEST)
    assert all(request.headers["Authorization"] == "Bearer secret" for request in site.requests)


@pytest.mark.parametrize("name", ["../../evil.safetensors", "a/b.safetensors", "", ".x"])
async def test_civitai_name_that_leaves_the_folder_is_refused(site: Site, store: ModelStore, name: str) -> None:
    site.documents["7"] = {"files": [{"name": name, "downloadUrl": f"{site.url}/x"}]}

    with pytest.raises(SourceError, match="safe file name"):
        await add_model(store, "civitai:7", sites=Sites(civitai_url=site.url))


async def test_civitai_version_that_is_unknown_or_empty_is_refused(site: Site, store: ModelStore) -> None:
    site.documents["8"] = {"files": []}

    with pytest.raises(SourceError, match="404"):
        await add_model(store, "civitai:7", sites=Sites(civitai_url=site.url))
    with pytest.raises(SourceError, match="no files"):
        await add_model(store, "civitai:8", sites=Sites(civitai_url=site.url))
