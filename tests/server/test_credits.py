"""Credits over HTTP: balance, history, reservations, adjustments; and the commands that do the same on the machine."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from marquetry.marketplace import ledger
from marquetry.marketplace.accounts.security_events import events_of
from marquetry.server import keys
from marquetry.server.database.database import one_by_one
from tests.server.peer import Peer, served
from tests.server.people import add, with_accounts

CREDIT = 1_000_000


async def give(peer: Peer, amount: int, owner: str = "default", key: str = "gift") -> Any:
    body = {"owner": owner, "amount_microcredits": amount, "reason": "a test", "key": key}
    return await peer.json("POST", "/api/v1/admin/credits", json=body)


async def test_a_balance_begins_at_nothing_and_is_the_same_on_all_its_paths(peer: Peer) -> None:
    nothing = {"credits": 0, "spendable_microcredits": 0, "paid_microcredits": 0, "granted_microcredits": 0, "held_microcredits": 0}
    assert await peer.json("GET", "/api/v1/credits/balance") == nothing
    await give(peer, 5 * CREDIT + 1)
    for path in ("/api/v1/credits/balance", "/api/credits/balance", "/users/me/buzz", "/users/default/buzz", "/api/v1/users/me/buzz"):
        assert (await peer.json("GET", path))["spendable_microcredits"] == 5 * CREDIT + 1
    assert (await peer.json("GET", "/api/credits/balance"))["credits"] == 5


async def test_what_is_reserved_is_committed_in_part_and_the_rest_goes_back(peer: Peer) -> None:
    await give(peer, 10 * CREDIT)
    reserved = await peer.json("POST", "/buzz/reserve", json={"amount": 4})
    assert (reserved["amount_microcredits"], reserved["balance"]["held_microcredits"], reserved["state"]) == (
        4 * CREDIT,
        4 * CREDIT,
        "open",
    )
    body = {"reservation_id": reserved["reservation_id"], "amount_microcredits": CREDIT, "description": "a picture"}
    for _ in range(2):
        done = await peer.json("POST", "/api/v1/buzz/commit", json=body)
        assert (done["captured_microcredits"], done["released_microcredits"], done["balance"]["credits"]) == (CREDIT, 3 * CREDIT, 9)
    changed = await peer.json("POST", "/buzz/commit", 409, json={**body, "amount_microcredits": 2 * CREDIT})
    assert changed["error"]["code"] == "idempotency_conflict"


async def test_what_is_released_goes_back_and_cant_be_committed(peer: Peer) -> None:
    await give(peer, 10 * CREDIT)
    reserved = await peer.json("POST", "/buzz/reserve", json={"amount_microcredits": 7})
    body = {"reservation_id": reserved["reservation_id"]}
    for _ in range(2):
        done = await peer.json("POST", "/buzz/release", json=body)
        assert (done["captured_microcredits"], done["released_microcredits"], done["balance"]["credits"]) == (0, 7, 10)
    refused = await peer.json("POST", "/buzz/commit", 409, json=body)
    assert refused["error"]["code"] == "hold_closed"


async def test_too_little_is_told_with_both_numbers(peer: Peer) -> None:
    await give(peer, CREDIT)
    refused = await peer.json("POST", "/buzz/reserve", 402, json={"amount": 2})
    assert refused["error"]["code"] == "insufficient_credits"
    assert refused["error"]["details"] == {"balance": CREDIT, "required": 2 * CREDIT}


async def test_a_reservation_with_a_key_is_made_once(peer: Peer) -> None:
    await give(peer, 10 * CREDIT)
    headers = {"Idempotency-Key": "k"}
    made = [await peer.json("POST", "/buzz/reserve", json={"amount": 2}, headers=headers) for _ in range(2)]
    assert made[0]["reservation_id"] == made[1]["reservation_id"]
    assert made[1]["balance"]["held_microcredits"] == 2 * CREDIT
    assert (await peer.json("POST", "/buzz/reserve", 409, json={"amount": 3}, headers=headers))["error"]["code"] == "idempotency_conflict"


async def test_the_hold_of_a_job_is_out_of_reach(peer: Peer) -> None:
    await give(peer, 10 * CREDIT)

    def hold(connection: Any, run_id: str) -> None:
        ledger.place_hold(connection, owner="default", run_id=run_id, amount_microcredits=CREDIT, now_ms=1)

    await peer.application[keys.DATABASE].write(one_by_one(hold), "job")
    for path in ("/buzz/release", "/buzz/commit"):
        assert (await peer.json("POST", path, 404, json={"reservation_id": "job"}))["error"]["code"] == "hold_not_found"


async def test_open_reservations_are_limited(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marquetry.server.ledger.operations.MAX_RESERVATIONS", 2)
    await give(peer, 10 * CREDIT)
    for _ in range(2):
        await peer.json("POST", "/buzz/reserve", json={"amount": 1})
    assert (await peer.json("POST", "/buzz/reserve", 409, json={"amount": 1}))["error"]["code"] == "too_many_holds"


async def test_amounts_are_whole_positive_and_bounded(peer: Peer) -> None:
    both = {"amount": 1, "amount_microcredits": 1}
    wrong = [{}, both, {"amount": 1, "more": 1}, *({"amount": amount} for amount in (0, -1, 1.5, "1", 10**10, True))]
    for body in wrong:
        assert (await peer.json("POST", "/buzz/reserve", 400, json=body))["error"]["code"] == "invalid_request"


async def test_the_history_has_pages_filters_and_a_table(peer: Peer) -> None:
    for place in range(5):
        await give(peer, CREDIT + place, key=f"gift {place}")
    reserved = await peer.json("POST", "/buzz/reserve", json={"amount": 2})
    body = {"reservation_id": reserved["reservation_id"], "amount": 1, "description": "=HYPERLINK(1)"}
    await peer.json("POST", "/buzz/commit", json=body)
    first = await peer.json("GET", "/api/v1/credits/history?limit=3")
    assert [entry["kind"] for entry in first["entries"]] == ["release", "usage", "reserve"]
    rest = await peer.json("GET", f"/api/credits/history?after={first['next_after']}")
    assert [entry["amount_microcredits"] for entry in rest["entries"]] == [CREDIT + place for place in (4, 3, 2, 1, 0)]
    assert rest["next_after"] is None
    kinds = [entry["kind"] for entry in (await peer.json("GET", "/buzz/transactions?kinds=commit,hold"))["entries"]]
    assert kinds == ["usage", "reserve"]
    since = first["entries"][0]["created_ms"] + 1
    assert (await peer.json("GET", f"/api/v1/credits/history?since_ms={since}"))["entries"] == []
    assert (await peer.json("GET", "/api/v1/credits/history?kinds=Robert'); DROP", 400))["error"]["code"] == "invalid_request"
    table = list(csv.DictReader(io.StringIO((await peer.send("GET", "/api/v1/credits/history.csv?kinds=usage")).decode())))
    assert [(row["kind"], row["amount_microcredits"], row["description"]) for row in table] == [("usage", str(-CREDIT), "'=HYPERLINK(1)")]


async def test_a_table_has_more_rows_than_a_page(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marquetry.server.api.credits.MAX_PAGE", 3)
    for place in range(8):
        await give(peer, CREDIT + place, key=f"gift {place}")
    lines = (await peer.send("GET", "/api/v1/credits/history.csv")).decode().splitlines()
    assert len(lines) == 9


async def test_an_adjustment_happens_once_for_its_key_and_needs_a_reason(peer: Peer) -> None:
    assert (await give(peer, 3 * CREDIT))["balance"]["credits"] == 3
    assert (await give(peer, 3 * CREDIT))["balance"]["credits"] == 3
    taken = {"owner": "default", "amount_microcredits": -CREDIT, "reason": "a mistake", "key": "less"}
    assert (await peer.json("POST", "/api/admin/credits", json=taken))["balance"]["credits"] == 2
    refused = await peer.json("POST", "/api/admin/credits", 402, json={**taken, "amount_microcredits": -9 * CREDIT, "key": "more"})
    assert refused["error"]["code"] == "insufficient_credits"
    await peer.json("POST", "/api/admin/credits", 409, json={**taken, "amount_microcredits": CREDIT})
    for wrong in ({"reason": "  "}, {"amount_microcredits": 0}, {"key": ""}, {"purse": "other"}):
        await peer.json("POST", "/api/admin/credits", 400, json={**taken, **wrong})
    found = (await peer.json("GET", "/api/v1/credits/history"))["entries"]
    assert [(entry["amount_microcredits"], entry["description"]) for entry in found] == [
        (-CREDIT, "a mistake (by default)"),
        (3 * CREDIT, "a test (by default)"),
    ]


async def test_a_run_is_refunded_once_wholly_or_by_node(peer: Peer) -> None:
    await give(peer, 10 * CREDIT)

    def run(connection: Any, run_id: str) -> None:
        ledger.place_hold(connection, owner="default", run_id=run_id, amount_microcredits=100, now_ms=1)
        share = ledger.Share("cam", "lora", 30)
        ledger.capture(connection, [ledger.Capture(run_id, "1", "node", 40, (share,)), ledger.Capture(run_id, "2", "node", 60)], 2)

    await peer.application[keys.DATABASE].write(one_by_one(run), "run")
    body = {"run_id": "run", "reason": "it was bad", "key": "r"}
    part = await peer.json("POST", "/api/v1/admin/credits/refund", json={**body, "node_id": "1", "amount_microcredits": 10, "key": "part"})
    assert part["refunded_microcredits"] == 10
    for _ in range(2):
        assert (await peer.json("POST", "/api/admin/credits/refund", json=body))["refunded_microcredits"] == 90
    assert (await peer.json("POST", "/api/admin/credits/refund", json={**body, "key": "again"}))["refunded_microcredits"] == 0
    await peer.json("POST", "/api/admin/credits/refund", 409, json={**body, "amount_microcredits": 1, "key": "unclear"})
    await peer.json("POST", "/api/admin/credits/refund", 404, json={**body, "run_id": "other"})
    assert (await peer.json("GET", "/api/v1/credits/balance"))["spendable_microcredits"] == 10 * CREDIT
    assert await peer.application[keys.DATABASE].read(ledger.verify) == []


@pytest_asyncio.fixture
async def several(tmp_path: Path) -> AsyncIterator[Peer]:
    async with served(tmp_path / "data", multi_user=True) as running:
        yield running


async def test_nobody_reaches_the_credits_of_others(several: Peer) -> None:
    ann, bob = [await several.json("POST", "/api/users", json={"username": name}) for name in ("ann", "bob")]
    body = {"owner": ann, "amount_microcredits": 5 * CREDIT, "reason": "a test", "key": "k"}
    await several.json("POST", "/api/v1/admin/credits", json=body, headers={"comfy-user": ann})
    reserved = await several.json("POST", "/buzz/reserve", json={"amount": 1}, headers={"comfy-user": ann})
    mine = {"reservation_id": reserved["reservation_id"]}
    for path in ("/buzz/commit", "/buzz/release"):
        await several.json("POST", path, 404, json=mine, headers={"comfy-user": bob})
    assert (await several.json("GET", "/api/v1/credits/history", headers={"comfy-user": bob}))["entries"] == []
    same = {"Idempotency-Key": "k", "comfy-user": ann}
    other = await several.json("POST", "/buzz/reserve", 402, json={"amount": 1}, headers={**same, "comfy-user": bob})
    assert other["error"]["details"]["balance"] == 0


async def test_with_accounts_only_admins_adjust_and_everybody_sees_their_own(tmp_path: Path) -> None:
    async with with_accounts(tmp_path / "data") as peer:
        root, ann, bob = await add(peer, "root", "admin"), await add(peer, "ann"), await add(peer, "bob")
        body = {"owner": ann.id, "amount_microcredits": 5 * CREDIT, "reason": "a test", "key": "k"}
        for path in ("/api/v1/admin/credits", "/api/admin/credits"):
            await ann.json("POST", path, 403, json=body)
            await peer.json("POST", path, 401, json=body)
            await peer.json("POST", path, 403, json=body, headers=await root.key("read", "run", "money"))
            assert (await root.json("POST", path, json=body))["balance"]["credits"] == 5
        assert (await ann.json("GET", "/api/v1/credits/balance"))["credits"] == 5
        assert (await root.json("GET", f"/users/{ann.id}/buzz"))["credits"] == 5
        await bob.json("GET", f"/users/{ann.id}/buzz", 404)
        await peer.json("GET", "/api/v1/credits/history.csv", 401)
        await peer.json("POST", "/buzz/reserve", 403, json={"amount": 1}, headers=await ann.key("read", "run"))
        reserved = await peer.json("POST", "/buzz/reserve", json={"amount": 1}, headers=await ann.key("money"))
        await bob.json("POST", "/buzz/release", 404, json={"reservation_id": reserved["reservation_id"]})
        events = await peer.application[keys.DATABASE].read(events_of, ann.id)
        noted = [event for event in events if event.kind == "credits_adjusted"]
        assert noted and noted[0].actor == root.id and noted[0].details["amount_microcredits"] == 5 * CREDIT


def command(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MARQUETRY_")}
    line = [sys.executable, "-m", "marquetry", "ledger", *arguments, "--data", str(data)]
    return subprocess.run(line, capture_output=True, text=True, env=environment)


async def test_the_commands_grant_show_and_verify(tmp_path: Path) -> None:
    missing = command(tmp_path / "nothing", "verify")
    assert (missing.returncode, "marquetry serve" in missing.stderr) == (1, True)
    async with served(tmp_path / "data") as peer:
        for _ in range(2):
            granted = command(tmp_path / "data", "grant", "default", "12", "--reason", "welcome", "--key", "once", "--days", "30")
        assert granted.returncode == 0 and "12,000,000" in granted.stdout
        assert (await peer.json("GET", "/api/v1/credits/balance"))["credits"] == 12
        from marquetry.server.ledger.rounds import verify_apart

        assert await verify_apart(peer.application[keys.SETTINGS]) == []
        assert "granted            12,000,000" in command(tmp_path / "data", "balance", "default").stdout

        def tamper(connection: Any, amount: int) -> None:
            connection.exec_driver_sql(f"UPDATE ledger_accounts SET balance = {amount} WHERE kind = 'granted'")

        await peer.application[keys.DATABASE].write(one_by_one(tamper), 99)
        found = await verify_apart(peer.application[keys.SETTINGS])
        assert any("the granted account of 'default'" in fault for fault in found)
    assert command(tmp_path / "data", "verify").returncode == 1


async def test_what_is_due_expires_by_itself_and_captures_of_many_callers_are_acknowledged(peer: Peer) -> None:
    import asyncio

    from marquetry.marketplace.errors import MarketError
    from marquetry.server.ledger.rounds import expire_now_and_then
    from marquetry.server.parts.ledger import CAPTURES

    await give(peer, 10 * CREDIT)
    database = peer.application[keys.DATABASE]

    def hold(connection: Any, run_id: str) -> None:
        ledger.place_hold(connection, owner="default", run_id=run_id, amount_microcredits=1000, now_ms=1)

    await database.write(one_by_one(hold), "run")
    captures = [ledger.Capture("run", str(place), "node", 40) for place in range(30)]
    done = await asyncio.gather(*(peer.application[CAPTURES].capture(one) for one in captures), return_exceptions=True)
    assert [isinstance(one, MarketError) for one in done] == [False] * 25 + [True] * 5
    expiring = asyncio.create_task(expire_now_and_then(database, first_s=0))
    async with asyncio.timeout(10):
        while (found := await database.read(ledger.find_hold, "run")) is not None and found.state == "open":
            await asyncio.sleep(0.01)
    expiring.cancel()
    assert found is not None and found.state == "expired"


def test_the_next_night_is_always_ahead() -> None:
    from datetime import UTC, datetime

    from marquetry.server.ledger.rounds import seconds_until_night

    assert seconds_until_night(datetime(2026, 1, 1, 2, 59, 30, tzinfo=UTC)) == 30
    assert seconds_until_night(datetime(2026, 1, 1, 3, 0, 0, tzinfo=UTC)) == 86_400
