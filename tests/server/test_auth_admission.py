"""Who is let in: cookies with double submit, keys within their scopes, tickets, roles, rates and quotas."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pyotp
import pytest
import pytest_asyncio

from marquetry.marketplace.accounts import api_keys
from marquetry.server.accounts.cookies import ACCESS_COOKIE, CSRF_COOKIE, REFRESH_COOKIE
from tests.server.peer import Peer
from tests.server.people import PASSWORD, Somebody, accounts, add, log_in, with_accounts


@pytest_asyncio.fixture
async def peer(tmp_path: Path) -> AsyncIterator[Peer]:
    async with with_accounts(tmp_path / "data") as running:
        yield running


@pytest_asyncio.fixture
async def ann(peer: Peer) -> Somebody:
    return await add(peer, "ann")


@pytest_asyncio.fixture
async def page(peer: Peer, ann: Somebody) -> AsyncIterator[aiohttp.ClientSession]:
    """A browser in which Ann is signed in by cookies."""
    async with aiohttp.ClientSession(peer.address, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        async with session.post("/auth/login", json={"email": ann.email, "password": PASSWORD, "cookies": True}) as answer:
            told = await answer.json()
            assert told["access_token"] is None and told["refresh_token"] is None and told["csrf_token"]
        yield session


def csrf_of(page: aiohttp.ClientSession) -> dict[str, str]:
    return {"X-CSRF-Token": {cookie.key: cookie.value for cookie in page.cookie_jar}[CSRF_COOKIE]}


async def status(session: aiohttp.ClientSession, method: str, path: str, **request: Any) -> int:
    async with session.request(method, path, **request) as answer:
        return answer.status


async def test_cookies_are_out_of_reach_for_scripts_but_the_one_that_scripts_send_back(peer: Peer, page: aiohttp.ClientSession) -> None:
    flags = {cookie.key: (bool(cookie["httponly"]), cookie["samesite"], cookie["path"]) for cookie in page.cookie_jar}
    assert flags == {ACCESS_COOKIE: (True, "Lax", "/"), REFRESH_COOKIE: (True, "Lax", "/"), CSRF_COOKIE: (False, "Lax", "/")}


async def test_changes_that_a_cookie_vouches_for_need_the_token_that_only_our_pages_have(page: aiohttp.ClientSession) -> None:
    assert await status(page, "GET", "/auth/me") == 200
    body = {"json": {"name": "x"}}
    assert await status(page, "PUT", "/api/v1/user/profile", **body) == 403
    assert await status(page, "PUT", "/api/v1/user/profile", headers={"X-CSRF-Token": "guess"}, **body) == 403
    planted = {
        "X-CSRF-Token": "mine",
        "Cookie": "; ".join(f"{c.key}={c.value}" for c in page.cookie_jar if c.key != CSRF_COOKIE) + f"; {CSRF_COOKIE}=mine",
    }
    async with aiohttp.ClientSession(page._base_url) as other:
        assert await status(other, "PUT", "/api/v1/user/profile", headers=planted, **body) == 403
    assert await status(page, "PUT", "/api/v1/user/profile", headers=csrf_of(page), **body) == 200


async def test_sessions_in_cookies_are_refreshed_and_ended_by_our_pages_alone(page: aiohttp.ClientSession) -> None:
    assert await status(page, "POST", "/auth/refresh") == 403
    before = csrf_of(page)
    assert await status(page, "POST", "/auth/refresh", headers=before) == 200
    assert csrf_of(page) != before
    assert await status(page, "POST", "/auth/logout", headers=csrf_of(page)) == 200
    assert await status(page, "GET", "/auth/me") == 401 and not list(page.cookie_jar)


async def test_sockets_open_with_a_cookie_from_our_pages_with_a_token_or_with_a_ticket(
    peer: Peer, ann: Somebody, page: aiohttp.ClientSession
) -> None:
    key = await ann.key("read")
    tickets = [(await ann.json("POST", "/auth/ticket"))["ticket"], (await peer.json("POST", "/auth/ticket", headers=key))["ticket"]]
    ways: list[dict[str, Any]] = [{"headers": ann.headers}, {"headers": key}, *({"params": {"ticket": ticket}} for ticket in tickets)]
    for path in ("/ws", "/api/v1/events?client_id=x"):
        await (await page.ws_connect(path)).close()
        await (await page.ws_connect(path, headers={"Origin": peer.address})).close()
        refusals: list[dict[str, Any]] = [{"headers": {"Origin": "https://evil.example"}}, {"params": {"ticket": "mqt_x"}}]
        for refused in refusals:
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await (page if "headers" in refused else peer.session).ws_connect(path, **refused)
        with pytest.raises(aiohttp.WSServerHandshakeError) as nobody:
            await peer.session.ws_connect(path)
        assert nobody.value.status == 401
    for way in ways:
        await (await peer.session.ws_connect("/ws", **way)).close()
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await peer.session.ws_connect("/ws", params={"ticket": tickets[0]})


async def test_a_key_does_what_its_scopes_say_until_it_is_revoked(peer: Peer, ann: Somebody) -> None:
    reading, running = await ann.key("read"), await ann.key("read", "run")
    await peer.json("GET", "/api/v1/jobs", headers=reading)
    refused = await peer.json("POST", "/interrupt", 403, headers=reading)
    assert refused["error"]["code"] == "scope_missing"
    await peer.send("POST", "/interrupt", headers=running)
    listed = (await ann.json("GET", "/api/v1/settings/api-keys"))["keys"]
    assert len(listed) == 2 and all("key" not in key for key in listed)
    await ann.json("DELETE", f"/api/v1/settings/api-keys/{listed[0]['id']}")
    statuses = [await status(peer.session, "GET", "/api/v1/jobs", headers=key) for key in (reading, running)]
    assert sorted(statuses) == [200, 401]


async def test_a_key_cant_give_itself_more(peer: Peer, ann: Somebody) -> None:
    key = await ann.key("read", "run", "account", "money", spend_limit_microcredits=5)
    (listed,) = (await ann.json("GET", "/api/v1/settings/api-keys"))["keys"]
    path = f"/api/v1/settings/api-keys/{listed['id']}"
    for method, where, body in (
        ("PATCH", path, {"spend_limit_microcredits": None}),
        ("POST", "/api/v1/settings/api-keys", {"name": "more"}),
        ("GET", "/api/v1/settings/api-keys", {}),
        ("POST", "/auth/logout-everywhere", {}),
        ("POST", "/auth/password", {"current": PASSWORD, "password": PASSWORD}),
    ):
        refused = await peer.json(method, where, 403, headers=key, json=body)
        assert refused["error"]["code"] == "sign_in_needed"
    assert (await ann.json("PATCH", path, json={"spend_limit_microcredits": 9, "name": "mine"}))["spend_limit_microcredits"] == 9
    assert (await ann.json("PATCH", path, json={"name": "yours"}))["spend_limit_microcredits"] == 9
    assert (await ann.json("PATCH", path, json={"spend_limit_microcredits": None}))["spend_limit_microcredits"] is None
    bob = await add(peer, "bob")
    await bob.json("PATCH", path, 404, json={"name": "theirs"})
    await bob.json("DELETE", path, 404)


async def test_it_is_known_when_a_key_was_used_last_and_when_it_expires(peer: Peer, ann: Somebody) -> None:
    now_ms = accounts(peer).clock_ms()
    key = await ann.key("read", expires_ms=now_ms + 60_000)
    await peer.json("GET", "/auth/me", headers=key)
    await accounts(peer).background.settled()
    (found,) = await accounts(peer).read(api_keys.keys_of, ann.id)
    assert found.used_ms is not None and found.used_ms >= now_ms
    accounts(peer).clock_ms = lambda: now_ms + 60_000
    await peer.json("GET", "/auth/me", 401, headers=key)


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Basic YTpi", "Bearer mq_unknown", "Bearer a.b.c", "mq_x"])
async def test_what_is_no_good_is_refused_but_open_pages_stay_open(peer: Peer, header: str) -> None:
    async with peer.session.get("/auth/me", headers={"Authorization": header}) as answer:
        assert answer.status == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
    for path in ("/", "/api/health", "/auth/options", "/api/openapi.json"):
        await peer.send("GET", path, headers={"Authorization": header})


async def test_what_is_about_the_machine_is_for_admins(peer: Peer, ann: Somebody) -> None:
    root = await add(peer, "root", "admin")
    for method, path in (
        ("GET", "/internal/logs"),
        ("GET", "/internal/folder_paths"),
        ("GET", "/api/v1/stats"),
        ("POST", "/free"),
        ("GET", "/api/admin/users"),
    ):
        await peer.send(method, path, 401)
        await peer.send(method, path, 403, headers=ann.headers)
        await peer.send(method, path, headers=root.headers)
        await peer.send(method, path, 403, headers=await root.key("read", "run"))


async def test_admins_are_such_only_after_a_second_factor(tmp_path: Path) -> None:
    async with with_accounts(tmp_path / "data", settings={"admin_second_factor": True}) as peer:
        root = await add(peer, "root", "admin")
        me = await root.json("GET", "/auth/me")
        assert me["dormant_roles"] == ["admin"] and me["roles"] == ["user"]
        assert "authenticator" in (await root.json("GET", "/api/v1/admin/users", 403))["error"]["message"]
        secret = (await root.json("POST", "/auth/second-factor/setup", json={"password": PASSWORD}))["secret"]
        await root.json("POST", "/auth/second-factor/confirm", json={"code": pyotp.TOTP(secret).at(accounts(peer).clock_ms() // 1000)})
        assert (await root.json("GET", "/api/v1/admin/users"))["total"] == 1


async def test_admins_are_such_only_from_the_networks_that_are_named(tmp_path: Path) -> None:
    settings = {"admin_addresses": ["198.51.100.0/24"], "trusted_proxies": ["127.0.0.0/8"]}
    async with with_accounts(tmp_path / "data", settings=settings) as peer:
        root = await add(peer, "root", "admin")
        for told, wanted in (("198.51.100.7", 200), ("192.0.2.1", 403), ("198.51.100.7, 192.0.2.1", 403), ("192.0.2.1, 198.51.100.7", 200)):
            await root.json("GET", "/api/v1/admin/users", wanted, headers={"X-Forwarded-For": told})
        await root.json("GET", "/api/v1/admin/users", 403)


async def test_who_asks_too_often_is_told_when_to_come_again(tmp_path: Path) -> None:
    rates = {"read": "2/min", "sign_in": "3/min", "anonymous": "2/min"}
    async with with_accounts(tmp_path / "data", settings={"rates": rates}) as peer:
        ann, bob = await add(peer, "ann"), await add(peer, "bob")
        for somebody in (ann, bob):
            assert [await status(peer.session, "GET", "/auth/me", headers=somebody.headers) for _ in range(3)] == [200, 200, 429]
        async with peer.session.get("/auth/me", headers=ann.headers) as answer:
            told = (await answer.json())["error"]
            assert told["code"] == "rate_limited" and 0 < told["details"]["retry_after_s"] <= 30
            assert answer.headers["Retry-After"] == str(told["details"]["retry_after_s"])
        assert [await status(peer.session, "GET", "/auth/options") for _ in range(3)] == [200, 200, 429]
        await log_in(peer, ann.email)
        await log_in(peer, ann.email, status=429)


async def test_servers_with_one_redis_count_together(tmp_path: Path) -> None:
    import uuid

    rates, redis_url = {"read": "2/min"}, "redis://127.0.0.1:6379/0"
    async with with_accounts(tmp_path / "data", settings={"rates": rates, "redis_url": redis_url}) as peer:
        ann = await add(peer, f"ann{uuid.uuid4().hex[:8]}")
        assert type(accounts(peer).buckets).__name__ == "RedisBuckets"
        assert [await status(peer.session, "GET", "/auth/me", headers=ann.headers) for _ in range(3)] == [200, 200, 429]


async def test_calls_of_a_month_are_counted_and_end(tmp_path: Path) -> None:
    async with with_accounts(tmp_path / "data", settings={"monthly_calls": 3}) as peer:
        ann, bob = await add(peer, "ann"), await add(peer, "bob")
        assert [await status(peer.session, "GET", "/auth/me", headers=ann.headers) for _ in range(4)] == [200, 200, 200, 429]
        assert (await ann.json("GET", "/auth/me", 429))["error"]["code"] == "quota_exceeded"
        await bob.json("GET", "/auth/me")
        now_ms = accounts(peer).clock_ms()
        accounts(peer).clock_ms = lambda: now_ms + 32 * 86_400_000
        assert (await ann.json("GET", "/auth/me", 401))["error"]["code"] == "token_invalid"


async def test_admins_find_give_roles_suspend_and_every_act_is_an_event(peer: Peer, ann: Somebody) -> None:
    root = await add(peer, "root", "admin")
    found = await root.json("GET", "/api/v1/admin/users?q=ANN&limit=1")
    assert found["total"] == 1 and found["users"][0]["id"] == ann.id
    path = f"/api/v1/admin/users/{ann.id}"
    assert (await root.json("PUT", f"{path}/roles", json={"roles": ["creator"]}))["roles"] == ["creator", "user"]
    assert (await ann.json("GET", "/auth/me"))["roles"] == ["creator", "user"]
    key = await ann.key("read")
    await root.json("PUT", f"{path}/suspension", json={"suspended": True, "reason": "spam"})
    await ann.json("GET", "/auth/me", 401)
    await peer.json("GET", "/auth/me", 403, headers=key)
    assert "spam" in (await log_in(peer, ann.email, status=403))["error"]["message"]
    await root.json("PUT", f"{path}/suspension", json={"suspended": False})
    await peer.json("GET", "/auth/me", headers=key)
    acts = [event for event in (await root.json("GET", "/api/v1/admin/security/events"))["events"] if event["actor"] == root.id]
    assert [event["kind"] for event in acts] == ["restored", "suspended", "signed_out_everywhere", "permissions_changed", "signed_in"]
    await root.json("PUT", f"{path}/roles", 400, json={"roles": ["root"]})
    await root.json("PUT", f"/api/v1/admin/users/{root.id}/roles", 409, json={"roles": []})
    await root.json("PUT", f"/api/v1/admin/users/{root.id}/suspension", 409, json={"suspended": True})
    await root.json("GET", "/api/v1/admin/users/u_none", 404)


async def test_service_tokens_call_for_no_person(peer: Peer) -> None:
    root = await add(peer, "root", "admin")
    made = await root.json("POST", "/api/v1/admin/service-tokens", 201, json={"name": "n8n", "scopes": ["read", "run"]})
    token = {"Authorization": f"Bearer {made['key']}"}
    assert made["key"].startswith("mqs_") and (await peer.json("GET", "/auth/me", headers=token))["roles"] == ["service"]
    assert (await peer.json("GET", "/api/v1/jobs", headers=token))["jobs"] == []
    await root.json("DELETE", f"/api/v1/admin/service-tokens/{made['id']}")
    await peer.json("GET", "/auth/me", 401, headers=token)


async def test_pages_of_the_sites_that_are_named_may_read_answers(tmp_path: Path) -> None:
    async with with_accounts(tmp_path / "data", cors_origin="https://a.example, https://b.example") as peer:
        for origin, told in (("https://b.example", "https://b.example"), ("https://evil.example", None)):
            async with peer.session.get("/auth/options", headers={"Origin": origin}) as answer:
                assert answer.headers.get("Access-Control-Allow-Origin") == told and answer.headers["Vary"] == "Origin"
