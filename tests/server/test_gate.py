"""The gate: who may call, what every answer carries, and that nothing is undocumented."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from marquetry.server.openapi import plain
from tests.server.peer import Peer, served


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 403),
        ({"Host": "localhost:8188"}, 200),
        ({"Host": "localhost:8188", "Origin": "http://localhost:8188"}, 200),
        ({"Host": "localhost:8188", "Origin": "http://localhost:9999"}, 403),
        ({"Host": "[::1]:8188", "Origin": "http://[::1]:8188"}, 200),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Upgrade": "websocket"}, 403),
    ],
)
async def test_pages_of_other_sites_and_foreign_names_are_refused(peer: Peer, headers: dict[str, str], status: int) -> None:
    answer = await peer.json("GET", "/prompt", status, headers=headers)
    assert status == 200 or answer["error"]["code"] == "forbidden_origin"


async def test_other_sites_may_call_where_the_settings_allow_it(tmp_path: Path) -> None:
    async with served(tmp_path / "data", cors_origin="https://site.example") as peer:
        async with peer.session.get("/prompt", headers={"Origin": "https://site.example"}) as answer:
            assert answer.status == 200 and answer.headers["Access-Control-Allow-Origin"] == "https://site.example"
        async with peer.session.options("/api/v1/jobs", headers={"Origin": "https://site.example"}) as answer:
            assert answer.status == 204 and "POST" in answer.headers["Access-Control-Allow-Methods"]


async def test_every_answer_carries_a_request_id_and_security_headers(peer: Peer) -> None:
    for path, given, expected in (("/prompt", "mine-1", "mine-1"), ("/nowhere", "", None), ("/view?filename=x", "a b\tc", None)):
        async with peer.session.get(path, headers={"X-Request-ID": given} if given else {}) as answer:
            assert answer.headers["X-Request-ID"] == expected or (expected is None and len(answer.headers["X-Request-ID"]) == 32)
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_pages_have_a_strict_policy_and_nothing_inline(peer: Peer) -> None:
    for path in ("/", "/api/docs"):
        async with peer.session.get(path) as answer:
            text = await answer.text()
            assert (
                "default-src 'none'" in answer.headers["Content-Security-Policy"]
                and "unsafe" not in answer.headers["Content-Security-Policy"]
            )
        assert not re.search(r"<script(?![^>]*src=)|<style|style=|\son[a-z]+=|https?://(?!www\.w3\.org)", text)
        for name in re.findall(r'(?:href|src)="(/pages/[^"]+)"', text):
            assert await peer.send("GET", name)
    await peer.json("GET", "/pages/..%2froutes.py", 404)


async def test_no_route_is_missing_from_the_document(peer: Peer) -> None:
    document = await peer.json("GET", "/api/openapi.json")
    documented = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    routed = {
        (route.method, plain(route.resource.canonical) if route.resource else "")
        for route in peer.application.router.routes()
        if route.method != "HEAD"
    }
    assert routed == documented
    ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(ids) == len(set(ids)) and document["openapi"].startswith("3.1")
    text = json.dumps(document)
    assert all(name in document["components"]["schemas"] for name in re.findall(r'"#/components/schemas/([^"]+)"', text))


async def test_comfyui_routes_stand_below_api_and_at_the_root(peer: Peer) -> None:
    for path in (
        "/prompt", "/queue", "/history", "/object_info", "/system_stats", "/features", "/embeddings", "/models", "/models/loras",
        "/experiment/models", "/experiment/models/loras", "/extensions", "/users", "/settings", "/i18n", "/workflow_templates",
        "/global_subgraphs", "/node_replacements", "/jobs",
    ):  # fmt: skip
        assert type(await peer.json("GET", path)) is type(await peer.json("GET", f"/api{path}")), path
    await peer.json("GET", "/models/nothing", 404)
    await peer.json("GET", "/experiment/models/preview/loras/0/none.webp", 404)
    await peer.json("GET", "/experiment/models/preview/loras/x/..%2f..%2fnone.webp", 404)
    await peer.json("GET", "/view_metadata/loras?filename=none.safetensors", 404)


async def test_users_keep_settings_and_files_of_their_own(tmp_path: Path) -> None:
    async with served(tmp_path / "data", multi_user=True) as peer:
        ann = {"comfy-user": await peer.json("POST", "/users", json={"username": "Ann"})}
        bob = {"comfy-user": await peer.json("POST", "/users", json={"username": "Bob/../x"})}
        await peer.json("POST", "/users", 400, json={"username": "Ann"})
        await peer.json("GET", "/settings", 401)
        await peer.json("GET", "/settings", 401, headers={"comfy-user": "../x"})
        await peer.send("POST", "/settings", headers=ann, json={"a": 1})
        assert await peer.json("GET", "/settings", headers=bob) == {}
        assert set((await peer.json("GET", "/users"))["users"].values()) == {"Ann", "Bob/../x"}
        await peer.json("POST", "/userdata/x.json", headers=ann, data=b"{}")
        await peer.json("GET", "/userdata/x.json", 404, headers=bob)
        await peer.json("POST", "/users", 400, json={"username": " "})


async def test_files_of_a_user_are_listed_kept_moved_and_deleted(peer: Peer) -> None:
    kept = await peer.json("POST", "/api/userdata/workflows%2Fa.json?overwrite=false&full_info=true", data=b'{"x": 1}')
    assert (kept["path"], kept["size"]) == ("workflows/a.json", 8)
    await peer.json("POST", "/userdata/workflows%2Fa.json?overwrite=false", 409, data=b"{}")
    assert await peer.json("POST", "/userdata/workflows%2Fa.json", data=b"[]") == "workflows/a.json"
    assert await peer.send("GET", "/userdata/workflows%2Fa.json") == b"[]"
    assert await peer.json("GET", "/userdata?dir=workflows") == ["a.json"]
    assert await peer.json("GET", "/userdata?dir=workflows&split=true") == [["a.json", "a.json"]]
    listed = await peer.json("GET", "/userdata?dir=workflows&recurse=true&split=false&full_info=true")
    assert listed[0]["path"] == "a.json" and listed[0]["modified"] > 1e12
    assert [entry["type"] for entry in await peer.json("GET", "/v2/userdata")] == ["directory"]
    assert await peer.json("POST", "/userdata/workflows%2Fa.json/move/workflows%2Fb.json") == "workflows/b.json"
    await peer.send("DELETE", "/userdata/workflows%2Fb.json", 204)
    await peer.json("DELETE", "/userdata/workflows%2Fb.json", 404)
    await peer.json("GET", "/userdata?dir=nothing", 404)
    for name in ("..%2f..%2fx", "%2fetc%2fpasswd", "a%2f..%2f..%2fx"):
        await peer.json("POST", f"/userdata/{name}", 403, data=b"x")
        await peer.json("GET", f"/userdata/{name}", 403)
    await peer.send("POST", "/settings/Comfy.TutorialCompleted", data=b"true")
    assert await peer.json("GET", "/settings") == {"Comfy.TutorialCompleted": True}
    assert await peer.json("GET", "/settings/none") is None


async def test_new_lines_of_the_log_reach_who_asked_for_them(peer: Peer) -> None:
    import logging

    from marquetry.server import keys

    logs = peer.application[keys.LOGS]
    socket = await peer.socket("ann")
    await peer.send("PATCH", "/internal/logs/subscribe", json={"clientId": "ann", "enabled": True})
    record = logging.LogRecord("test", logging.INFO, "", 0, "a line", (), None)
    logs.handle(record)
    heard = await socket.until(lambda kind, data: kind == "logs")
    assert heard["entries"][0]["m"] == "a line\n" and heard["size"] is None
    assert (await peer.json("GET", "/internal/logs/raw"))["entries"][-1]["m"] == "a line\n"
    assert "a line" in await peer.json("GET", "/internal/logs")
    assert "loras" in await peer.json("GET", "/internal/folder_paths")
    assert await peer.json("GET", "/internal/files/output") == []
    await peer.json("GET", "/api/internal/logs", 404)
    await peer.json("PATCH", "/internal/logs/subscribe", 400, json={"clientId": "nobody", "enabled": True})


async def test_one_address_holds_only_so_many_sockets(peer: Peer) -> None:
    from marquetry.server import keys

    peer.application[keys.SOCKETS]._max_per_address = 2
    sockets = [await peer.socket(f"c{number}") for number in range(2)]
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await peer.socket("c3")
    assert refused.value.status == 429
    await sockets[0].close()


AUDIT = """
import asyncio, sys
from pathlib import Path
import marquetry.nodes
from marquetry.engine.registry import Registry
from marquetry.server import keys
from marquetry.server.app import create_app
from marquetry.server.data_folders import folders_of
from marquetry.server.database.database import Database
from marquetry.server.jobs.service import JobService
from marquetry.server.settings import Settings

async def main():
    settings = Settings(data=Path(sys.argv[1]))
    settings.data.mkdir(parents=True)
    registry, folders = Registry(), folders_of(settings)
    registry.scan(marquetry.nodes)
    database = await Database.open(settings.database)
    application = create_app(settings, JobService(database, []), registry, folders)
    described = await application[keys.OBJECT_INFO].current()
    assert len(described.entries) == len(registry) > 50, (len(described.entries), len(registry))
    assert application[keys.OPENAPI].text
    await database.close()

asyncio.run(main())
heavy = {"torch", "diffusers", "transformers", "numpy", "scipy", "networkx", "PIL", "yaml"} & set(sys.modules)
assert not heavy, heavy
"""


def test_the_server_describes_all_nodes_without_importing_a_model_library(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", AUDIT, str(tmp_path / "data")], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
