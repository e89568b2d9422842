"""Every route that the products before this one had is there: none is missing, none has another method, and every error has the one shape."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio

from tests.server import nodes
from tests.server.peer import PATIENCE_S
from tests.server.people import Somebody, add, with_accounts

FILE = "file_" + "0" * 32
STUDIO = """
POST /marketplace/list; GET /marketplace/search; GET /marketplace/item/1; POST /marketplace/purchase; GET /marketplace/creator/stats
POST /auth/login; POST /auth/register; POST /auth/refresh; GET /auth/me; GET /job/1
POST /workflow/execute; POST /workflow/create; GET /workflow/1; GET /workflow/list
GET /credits/balance; POST /credits/purchase; GET /credits/history; GET /user/profile; GET /user/history; GET /user/earnings
"""
COMICS = """
POST /auth/sso/authorize; POST /auth/sso/token; POST /auth/sso/refresh; POST /auth/sso/validate; POST /auth/sso/revoke
POST /webhooks/subscribe; GET /users/me/buzz; POST /buzz/reserve; POST /buzz/commit; POST /buzz/release; GET /buzz/transactions
GET /models; GET /models/loras; POST /generation/create; GET /generation/1/status; GET /generation/subscribe; POST /generation/batch
POST /images/upload; GET /images/{FILE}
"""
FLOWS = """
POST /clerk-webhook; GET /user/profile; PUT /user/profile; POST /trigger-workflow; POST /n8n-callback; POST /cancel-generation
GET /generations; GET /generations/1; POST /files/upload; GET /files/{FILE}; DELETE /files/{FILE}; POST /upload-from-url
POST /payments/create-subscription; POST /payments/webhook; POST /payments/cancel-subscription; GET /billing/history
POST /credits/purchase; GET /credits/balance; GET /admin/users; GET /admin/analytics; POST /admin/credits; GET /health; GET /ready
"""
ELSEWHERE = {
    "pictures": ("/image/generate", "/image/inpaint", "/image/edit", "/image/controlnet"),
    "video": ("/video/generate", "/video/extend", "/video/transform"),
    "enhancing": ("/enhance/upscale", "/enhance/face", "/enhance/lipsync", "/enhance/background", "/enhance/{type}"),
    "training": ("/training/start", "/training/status/{job_id}", "/training/{job_id}", "/training/cancel/{job_id}",
                 "/training/publish/{job_id}", "/training/publish", "/lora/train", "/lora/train/{id}/status"),
    "moderation": ("/moderation/submit", "/moderation/{id}/status"),
}  # fmt: skip
"""Routes of the same lists that come with what they are about; here so that together they are all."""


def spelled(index: str, prefix: str) -> list[tuple[str, str]]:
    lines = [entry.split() for line in index.strip().splitlines() for entry in line.split(";")]
    return [(method, prefix + path.replace("{FILE}", FILE)) for method, path in lines]


ROUTES = [*spelled(STUDIO, "/api/v1"), *spelled(COMICS, ""), *spelled(FLOWS, "/api")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def ann(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Somebody]:
    async with with_accounts(tmp_path_factory.mktemp("routes") / "data", market={"enabled": True, "trial": False}) as peer:
        yield await add(peer, "ann", "admin")


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_lists_are_whole() -> None:
    assert len(ROUTES) + sum(map(len, ELSEWHERE.values())) == 38 + 23 + 23


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=lambda value: str(value))
async def test_a_route_is_there_and_its_errors_have_the_one_shape(ann: Somebody, method: str, path: str) -> None:
    for headers in (ann.headers, {}):
        async with ann.peer.session.request(method, path, headers=headers, json={} if method != "GET" else None) as answer:
            data = await answer.read()
        assert answer.status not in (405, 500, 501), data
        if answer.status < 400:
            continue
        error: dict[str, Any] = orjson.loads(data)["error"]
        assert set(error) == {"code", "message", "details"}, error
        assert not error["message"].startswith("there is nothing at"), error


async def test_a_workflow_is_kept_listed_read_and_run_with_other_inputs(ann: Somebody) -> None:
    graph = nodes.linked("Draw", count=1, value=3)
    await ann.json("POST", "/api/v1/workflow/create", 201, json={"name": "mine", "graph": graph})
    taken = await ann.json("POST", "/api/v1/workflow/create", 409, json={"name": "mine", "graph": graph})
    assert taken["error"]["code"] == "already_exists", taken
    kept = (await ann.json("GET", "/api/v1/workflow/list"))["workflows"]
    assert [entry["id"] for entry in kept if not entry["ships"]] == ["mine"]
    assert {"text_to_image"} <= {entry["id"] for entry in kept if entry["ships"]}
    assert (await ann.json("GET", "/api/v1/workflow/mine"))["graph"] == graph
    bob = await add(ann.peer, "bob")
    await bob.json("GET", "/api/v1/workflow/mine", 404)
    assert all(entry["ships"] for entry in (await bob.json("GET", "/api/v1/workflow/list"))["workflows"])
    refused = await ann.json("POST", "/api/v1/workflow/execute", 402, json={"workflow_id": "mine", "inputs": {"1.count": 4}})
    assert refused["error"]["details"]["required"] == 80_000_000
    for name in ("../mine", ".hidden", "a/b", ""):
        await ann.json("POST", "/api/v1/workflow/create", 400, json={"name": name, "graph": graph})


async def test_a_generation_takes_its_reservation_with_it_or_leaves_it_as_it_was(ann: Somebody) -> None:
    eve = await add(ann.peer, "eve")
    gift = {"owner": eve.id, "amount_microcredits": 100_000_000, "reason": "a test", "key": "eve"}
    await ann.json("POST", "/api/v1/admin/credits", json=gift)
    reserved = await eve.json("POST", "/buzz/reserve", json={"amount": 90})
    body = {"graph": nodes.linked("Draw", count=4, value=9), "reservation_id": reserved["reservation_id"]}
    await ann.json("POST", "/generation/create", 404, json=body)
    dear = {**body, "graph": nodes.linked("Draw", count=6, value=9)}
    await eve.json("POST", "/generation/create", 402, json=dear)
    assert (await eve.json("GET", "/users/me/buzz"))["held_microcredits"] == 90_000_000
    created = await eve.json("POST", "/generation/create", 202, json=body)
    await ann.peer.jobs.wait(created["generation_id"], PATIENCE_S)
    status = await eve.json("GET", f"/generation/{created['generation_id']}/status")
    assert (status["status"], status["progress"], status["error"]) == ("completed", 100, None)
    balance = await eve.json("GET", "/users/me/buzz")
    assert (balance["credits"], balance["held_microcredits"]) == (20, 0)
    assert (await eve.json("POST", "/generation/create", 409, json=body))["error"]["code"] == "hold_closed"
    batch = await eve.json("POST", "/generation/batch", 202, json={"graph": nodes.linked("Draw", count=1), "inputs": [{"1.value": 70}]})
    assert batch["total"] == 1


async def test_operators_see_what_the_installation_did(ann: Somebody) -> None:
    found = await ann.json("GET", "/api/admin/analytics")
    assert found["people"] >= 1 and set(found) >= {"jobs", "charged_microcredits", "active_people"}
    await (await add(ann.peer, "dan")).json("GET", "/api/admin/analytics", 403)
