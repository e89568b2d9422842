"""With accounts, files are their owners', signed addresses need no sign-in, and leaving takes the account itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import Connection

from marquetry.marketplace.plans.subscriptions import subscribe
from marquetry.server.database.database import one_by_one
from marquetry.server.jobs.live import now_ms
from marquetry.server.market.keys import MARKET
from marquetry.server.people_work import PEOPLE_WORK
from marquetry.server.storage.people_requests import find_request
from marquetry.server.storage.plans import DAY_MS
from tests.server.nodes import whole
from tests.server.peer import PATIENCE_S
from tests.server.people import PASSWORD, add, log_in, with_accounts
from tests.server.storage.test_http import form
from tests.server.test_files import picture


async def test_each_has_their_own_files_folders_and_results(tmp_path: Path) -> None:
    async with with_accounts(tmp_path / "data") as peer:
        ann, bob = await add(peer, "ann"), await add(peer, "bob")
        hers = await ann.json("POST", "/api/v1/files", 201, data=form(picture("red")))
        his = await bob.json("POST", "/api/v1/files", 201, data=form(picture("red")))
        assert hers["name"] == his["name"] == "photo.png" and hers["sha256"] == his["sha256"]
        taken = await ann.json("POST", "/prompt", json={"prompt": {"1": whole("Paint", seed=3)}})
        await peer.jobs.wait(taken["prompt_id"], PATIENCE_S)
        assert {file["filename"] for file in (await ann.json("GET", "/api/v1/files"))["files"]} == {"photo.png", "red_3.png"}
        assert {file["filename"] for file in (await bob.json("GET", "/api/v1/files"))["files"]} == {"photo.png"}
        assert (await bob.json("GET", "/api/v1/user/history"))["total"] == 0
        await bob.json("DELETE", f"/api/v1/files/{hers['id']}", 404)
        await bob.json("DELETE", f"/api/v1/files/{his['id']}")
        assert await peer.send("GET", hers["url"], headers=ann.headers)
        assert await peer.send("GET", "/view?filename=photo.png&type=input", headers=ann.headers)


async def test_a_signed_address_needs_no_sign_in_and_everything_else_does(tmp_path: Path) -> None:
    async with with_accounts(tmp_path / "data") as peer:
        ann = await add(peer, "ann")
        stored = await ann.json("POST", "/api/v1/files", 201, data=form(picture()))
        signed = (await ann.json("GET", f"/api/v1/files/{stored['id']}"))["signed_url"]
        assert (await peer.send("GET", signed)).startswith(b"\x89PNG")
        for path in (stored["url"], stored["thumbnail_url"], f"/api/v1/files/{stored['id']}", "/api/v1/files", "/api/v1/user/history"):
            await peer.json("GET", path, 401)
        await peer.json("GET", signed.replace("/content", "/thumbnail"), 403)


async def test_where_plans_are_sold_they_say_how_long_files_are_kept(tmp_path: Path) -> None:
    async with with_accounts(tmp_path / "data", market={"enabled": True}, storage={"quota_bytes": 1_000_000}) as peer:
        ann, bob = await add(peer, "ann"), await add(peer, "bob")
        studio = peer.application[MARKET].plans["marty-004:studio"]

        def buy(connection: Connection, time_ms: int) -> None:
            subscribe(connection, bob.id, studio, time_ms, currency="INR")

        await peer.jobs.database.write(one_by_one(buy), now_ms())
        for who, days in ((ann, 30), (bob, 90)):
            stored = await who.json("POST", "/api/v1/files", 201, data=form(picture()))
            assert stored["expires_ms"] == stored["created_ms"] + days * DAY_MS
            usage = await who.json("GET", "/api/v1/files/usage")
            assert (usage["retention_days"], usage["quota_bytes"]) == (days, 1_000_000)


async def test_keys_can_neither_export_nor_erase(tmp_path: Path) -> None:
    async with with_accounts(tmp_path / "data") as peer:
        key = await (await add(peer, "ann")).key("read", "run", "account")
        await peer.json("POST", "/api/v1/user/export", 403, json={}, headers=key)
        await peer.json("DELETE", "/api/v1/user/account", 403, json={"confirm": "erase everything"}, headers=key)


async def test_who_leaves_can_not_sign_in_again_and_only_money_stays(tmp_path: Path) -> None:
    async with with_accounts(tmp_path / "data") as peer:
        ann, bob = await add(peer, "ann"), await add(peer, "bob")
        await ann.json("POST", "/api/v1/files", 201, data=form(picture()))
        await ann.key("read")
        folder = peer.folders.of(ann.id).input
        assert folder.is_dir()
        asked = await ann.json("DELETE", "/api/v1/user/account", 202, json={"confirm": "erase everything"})
        database = peer.jobs.database
        async with asyncio.timeout(PATIENCE_S):
            while (request := await database.read(find_request, asked["id"], None)).state != "sweeping":
                await asyncio.sleep(0.02)
        assert peer.application[PEOPLE_WORK] is not None and request.report is not None
        assert request.report["accounts/users"] == "1 deleted" and request.report["files/bytes"] == "1 files deleted"
        assert request.report["ledger/ledger_journal"].endswith("kept without a name")
        await log_in(peer, ann.email, PASSWORD, status=401)
        assert not folder.exists()
        await bob.json("GET", "/auth/me")
